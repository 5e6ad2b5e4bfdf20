from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Document:
    """What is remembered of one document: an entry a token, with keys and values of each layer that has a memory.

    `name` is the id that its owner gave it; documents of one `namespace` are seen by the rows that use it. `source`
    says where `text` came from, `time` (ISO 8601, UTC) when it was read. Entry i is token `tokens[i]`, covers the
    characters `spans[i]` of the text, and stood at place `positions[i]` of the document; entries that were evicted are
    gone from all of these alike. Keys are as they were before rotation; `g` are key/value heads, which queries share
    in groups.
    """

    name: str
    namespace: str
    source: str
    text: str
    time: str
    tokens: Int[Tensor, " n"]
    spans: Int[Tensor, "n 2"]
    positions: Int[Tensor, " n"]
    keys: Mapping[int, Float[Tensor, "g n d"]]
    values: Mapping[int, Float[Tensor, "g n d"]]

    def __len__(self) -> int:
        return len(self.tokens)
