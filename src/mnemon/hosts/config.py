from typing import Literal

from pydantic import Field, field_validator, model_validator

from mnemon.config import Config
from mnemon.index import find_index

Positions = Literal["none", "first", "clamped", "original"]
Sees = Literal["local", "document", "memory"]


class MemoryConfig(Config):
    """How a host remembers.

    `layers` that have a memory: `"auto"` is one at three quarters of the depth, as the ninth of twelve in arXiv
    2203.08913; `"all"`, or their numbers. `size` entries a namespace, `top_k` neighbours a query and head, found by
    `index` (`NAME` or `NAME:option=number` of `index.INDEXES`), by cosine where `normalise` is set.

    `asks`: what a token asks the memory with, its query, or its own key, which finds tokens in contexts like its own.
    Scores are multiplied by `sharpness`, which each head goes on learning where it is not 1.

    `merge`: `"joint"`, one softmax over the host's own keys and the neighbours, or `"gated"`, (1 - g) own + g memory
    with g = sigmoid(b) a head, which starts at `gate`. With `age` each head learns a bias a log2(age) on the scores of
    neighbours.

    `positions`: where a remembered key stands for a rotary host. `"none"`: query and key meet un-rotated. `"first"`:
    all keys stand where the window begins. `"clamped"`: all are `clamp` tokens away. `"original"`: at their true
    distance, as if the memory were the text before the prompt.

    Documents are read in segments of `segment` tokens, of which the first `overlap` repeat the end of the one before
    and are context only. While a document is read its tokens see their segment (`"local"`), also what the memory has of
    this document (`"document"`), or all that is remembered (`"memory"`). `value`: what is stored with a token's key,
    its own value or the next token's (the pairing of kNN-LM, arXiv 1911.00172).
    """

    layers: Literal["auto", "all"] | tuple[int, ...] = "auto"
    size: int = Field(262_144, ge=1)
    top_k: int = Field(32, ge=1)
    index: str = "exact"
    normalise: bool = False
    asks: Literal["query", "key"] = "query"
    sharpness: float = Field(1.0, gt=0)
    merge: Literal["joint", "gated"] = "joint"
    gate: float = Field(0.1, gt=0, lt=1)
    age: bool = False
    positions: Positions = "first"
    clamp: int = Field(512, ge=0)
    segment: int = Field(512, ge=1)
    overlap: int = Field(128, ge=0)
    sees: Sees = "local"
    value: Literal["own", "next"] = "own"

    @field_validator("index")
    @classmethod
    def _known(cls, name: str) -> str:
        find_index(name)
        return name

    @model_validator(mode="after")
    def _fits(self) -> "MemoryConfig":
        if self.overlap >= self.segment:
            raise ValueError(f"an overlap of {self.overlap} leaves nothing of a segment of {self.segment} tokens")
        if self.top_k > self.size:
            raise ValueError(f"a memory of {self.size} entries is smaller than top_k = {self.top_k}")
        return self
