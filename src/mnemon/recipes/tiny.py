"""The five kinds at a size that two cores train within minutes."""

from mnemon.data import DataConfig
from mnemon.model import AttentionConfig, EmbeddingConfig, FeedForwardConfig, HeadConfig, ModelConfig, SpanConfig
from mnemon.pools import CacheConfig, KNNConfig, PersistentConfig, PoolsConfig
from mnemon.positions.learned import LearnedConfig
from mnemon.positions.t5 import T5Config
from mnemon.train import RunConfig, TrainConfig


def vanilla_tiny() -> RunConfig:
    """`vanilla` with 4 layers of width 128 on segments of 64 byte-pair tokens, every segment on its own.

    Deviation: squared ReLU; query-key scale 10 at the start; T5 table starts as a slope; output projections and the
    untied head start at zero; Muon for the projections, linear decay over the second half; no dropout; vocabulary of
    1024; documents cut in parts for training, so that one long document does not fill a short training. All of it for
    speed: the model must learn to look back within minutes.
    """
    model = ModelConfig(
        dim=128,
        n_layers=4,
        n_heads=2,
        head_dim=64,
        segment=64,
        window=128,
        position=T5Config(slope=0.2),
        attention=AttentionConfig(scale=10.0),
        feedforward=FeedForwardConfig(dim=512, activation="relu2"),
        head=HeadConfig(tied=False, start=0.0),
        zero_out=True,
    )
    train = TrainConfig(
        steps=1500,
        lanes=16,
        part=40_000,
        lr=2e-3,
        muon_lr=0.02,
        warmup=40,
        schedule="linear",
        decay=0.5,
        optimizer="muon",
        weight_decay=0.0,
        precision="bfloat16",
    )
    data = DataConfig(tokenizer="bpe", vocab_size=1024)
    return RunConfig(recipe="vanilla-tiny", model=model, data=data, train=train)


def transformer_xl_tiny() -> RunConfig:
    """`vanilla_tiny` with a cache of the last 128 keys and values in every layer.

    Deviation: as `vanilla_tiny`.
    """
    return vanilla_tiny().replace(recipe="transformer-xl-tiny", model__pools=PoolsConfig(cache=CacheConfig()))


def memorizing_tiny() -> RunConfig:
    """`transformer_xl_tiny` whose third layer also reads a kNN memory of 8192 entries through a gate.

    Deviation: as `vanilla_tiny`; the memory pairs each key with the next token's value, and queries and keys of its
    layer start with equal projections: a search then finds similar contexts and what came after them at once.
    """
    base = transformer_xl_tiny()
    pools = base.model.pools.replace(knn=KNNConfig(layers=(2,), size=8192, top_k=32, value="next"))
    return base.replace(recipe="memorizing-tiny", model__pools=pools, model__attention__equal_start=True)


def memorizing_all_attention_tiny() -> RunConfig:
    """`memorizing_tiny` whose feed-forward layers are 512 persistent vectors a head.

    Deviation: as `memorizing_tiny`, but for the squared ReLU, which it has no place for.
    """
    base = memorizing_tiny()
    pools = base.model.pools.replace(persistent=PersistentConfig(n=512))
    return base.replace(recipe="memorizing-all-attention-tiny", model__pools=pools, model__feedforward=None)


def all_attention_tiny() -> RunConfig:
    """`all_attention` with 4 layers of width 128, 512 persistent vectors a head and spans up to 256.

    Deviation: vocabulary of 1024 byte-pair tokens; no dropout; AdamW with linear decay; documents cut in parts.
    """
    model = ModelConfig(
        dim=128,
        n_layers=4,
        n_heads=2,
        head_dim=64,
        segment=64,
        window=256,
        norm="layer",
        norm_place="post",
        position=LearnedConfig(span=256),
        shared_position=True,
        attention=AttentionConfig(qk_norm=False, scale=None, span=SpanConfig(limit=256, penalty=1e-7)),
        pools=PoolsConfig(cache=CacheConfig(stores="hidden"), persistent=PersistentConfig(n=512)),
        head=HeadConfig(tied=False, bias=True),
        embedding=EmbeddingConfig(),
        start="uniform",
    )
    train = vanilla_tiny().train.replace(optimizer="adamw", lr=1e-3, warmup=100)
    return RunConfig(recipe="all-attention-tiny", model=model, data=vanilla_tiny().data, train=train)
