"""Models of a few thousand parameters, and a corpus of a few kilobytes, for tests of training and use."""

from typing import Any

from mnemon.data import Corpus, DataConfig, Document
from mnemon.data.byte_tokens import Bytes
from mnemon.model import AttentionConfig, EmbeddingConfig, FeedForwardConfig, ModelConfig, SpanConfig
from mnemon.pools import CacheConfig, KNNConfig, PersistentConfig, PoolsConfig
from mnemon.positions.learned import LearnedConfig
from mnemon.train import RunConfig, TrainConfig

SENTENCES = [
    "The ferry to {0} leaves at seven from the stone pier.",
    "In {0} nobody remembers who built the second bridge.",
    "A letter for {0} arrived — three years late, and unopened.",
    "Ask for {0} at the harbour office; they keep the keys.",
    "Rain again over {0}, and the market closed before noon.",
    "“{0}?” she said. “You will not find it on this map.”",
]
NAMES = ["Oldhaven", "Mirefold", "Karsten", "Ützbach", "Lowmere", "Pellion", "Anholt", "Zweig", "Quarrow", "Fenwick"]


def text(k: int, sentences: int) -> str:
    """A text about one name, of its own length."""
    lines = [SENTENCES[(k + i * (k + 1)) % len(SENTENCES)].format(NAMES[k % len(NAMES)]) for i in range(sentences)]
    return "\n".join(lines) + "\n"


def documents(n: int = 10) -> list[Document]:
    """Texts of 1 to 9 sentences, an empty one and one of a single letter among them."""
    found = [Document(f"d{k}", text(k, 1 + k * 5 % 9)) for k in range(n)]
    return [*found[:2], Document("empty", ""), *found[2:4], Document("letter", "a"), *found[4:]]


def corpus() -> Corpus:
    return Corpus("tiny", documents(), documents(3), documents(4), {}, "0123")


def pools(**kinds: Any) -> PoolsConfig:
    return PoolsConfig(**kinds)


KNN = KNNConfig(layers=(1,), size=48, top_k=4)
POOLS: dict[str, PoolsConfig] = {
    "vanilla": pools(),
    "transformer-xl": pools(cache=CacheConfig(stores="kv")),
    "all-attention": pools(cache=CacheConfig(stores="hidden"), persistent=PersistentConfig(n=24)),
    "memorizing": pools(cache=CacheConfig(stores="kv"), knn=KNN),
    "memorizing-joint": pools(cache=CacheConfig(stores="kv"), knn=KNN.replace(merge="joint")),
    "memorizing-all-attention": pools(
        cache=CacheConfig(stores="kv"), persistent=PersistentConfig(n=24), knn=KNN.replace(layers=(0, 1))
    ),
}


def model(kind: str = "memorizing", **changes: Any) -> ModelConfig:
    """The config of one kind of model, for bytes."""
    values: dict[str, Any] = {
        "vocab_size": Bytes().vocab_size,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 2,
        "head_dim": 16,
        "segment": 16,
        "window": 16,
        "pools": POOLS[kind],
        "embedding": EmbeddingConfig(std=0.1),
        "attention": AttentionConfig(scale=4.0),
    }
    if kind == "all-attention":
        values |= {
            "position": LearnedConfig(),
            "norm": "layer",
            "norm_place": "post",
            "attention": AttentionConfig(qk_norm=False, span=SpanConfig(limit=32, ramp=4, penalty=1e-3)),
        }
    if POOLS[kind].persistent is None:
        values["feedforward"] = FeedForwardConfig(dim=48)
    return ModelConfig(**{**values, **changes})


def run_config(kind: str = "memorizing", changes: dict[str, Any] | None = None, **train: Any) -> RunConfig:
    """A run of 12 steps on the CPU with a checkpoint every 5, `changes` to the model."""
    settings = {"steps": 12, "lanes": 4, "warmup": 3, "checkpoint_every": 5, "device": "cpu", **train}
    return RunConfig(
        recipe=kind,
        model=model(kind, **(changes or {})),
        data=DataConfig(tokenizer="bytes"),
        train=TrainConfig(**settings),
    )
