"""The models of the two papers at their published sizes, each derived from a simpler one by what the paper changes."""

from mnemon.data import DataConfig
from mnemon.model import AttentionConfig, EmbeddingConfig, FeedForwardConfig, HeadConfig, ModelConfig, SpanConfig
from mnemon.pools import CacheConfig, KNNConfig, PersistentConfig, PoolsConfig
from mnemon.positions.learned import LearnedConfig
from mnemon.positions.t5 import T5Config
from mnemon.train import RunConfig, TrainConfig


def vanilla() -> RunConfig:
    """The 12-layer decoder of arXiv 2203.08913 without cache and without memory: every segment on its own.

    Table 4, context 512, no cache: 13.71 perplexity on PG-19, 3.29 on arXiv Math. Pre-norm, RMS, T5 bias a layer,
    query-key normalisation, own token excluded, ReLU feed-forward, no biases, tied table of 32,128 words.
    Adafactor with momentum, lr min(t, 1000) / 1000 / sqrt(max(t, 1000)), 2^17 tokens a step.
    Deviation: every token is predicted, not n-1 a segment.
    """
    model = ModelConfig(
        vocab_size=32_128,
        dim=1024,
        n_layers=12,
        n_heads=8,
        head_dim=128,
        segment=512,
        window=512,
        position=T5Config(),
        feedforward=FeedForwardConfig(dim=4096),
        head=HeadConfig(divide_by="sqrt-vocab"),
        dropout=0.05,
        attention=AttentionConfig(dropout=0.05),
    )
    train = TrainConfig(
        steps=500_000,
        lanes=0,
        step_tokens=2**17,
        optimizer="adafactor",
        adafactor_momentum=0.9,
        weight_decay=0.0,
        lr=1000**-0.5,
        warmup=1000,
        schedule="inverse-sqrt",
        clip=None,
        precision="bfloat16",
    )
    data = DataConfig(source="", tokenizer="bpe", vocab_size=32_128)
    return RunConfig(recipe="vanilla", model=model, data=data, train=train)


def transformer_xl() -> RunConfig:
    """`vanilla` with a cache of the last 512 keys and values in every layer (arXiv 2203.08913, section 3.1).

    Table 4, context 512, cache 512: 12.34 perplexity on PG-19, 2.67 on arXiv Math.
    """
    return vanilla().replace(recipe="transformer-xl", model__pools=PoolsConfig(cache=CacheConfig(stores="kv")))


def memorizing() -> RunConfig:
    """`transformer-xl` whose 9th layer also reads a kNN memory of 8192 entries through a gate (2203.08913, section 3).

    Table 4, context 512, cache 512, memory 8192: 11.93 perplexity on PG-19, 2.37 on arXiv Math.
    """
    base = transformer_xl()
    pools = base.model.pools.replace(knn=KNNConfig(layers=(8,), size=8192, top_k=32))
    return base.replace(recipe="memorizing", model__pools=pools)


def memorizing_200m() -> RunConfig:
    """`memorizing` under the name of its size: 183,922,792 parameters, "200M" in the paper."""
    return memorizing().replace(recipe="memorizing-200m")


def all_attention() -> RunConfig:
    """18 layers of attention over context and 1024 persistent vectors a head, no feed-forward (arXiv 1907.01470).

    enwik8: 1.01 bits per byte with 39M parameters. Post-norm, LayerNorm, learned relative positions shared by heads
    and layers, hidden-state cache, adaptive span up to 8192, own token excluded, untied output with bias. Adagrad with
    clipping folded into the step of each tensor: 450,000 steps, then 30,000 at a tenth of the rate.
    """
    span = 8192
    model = ModelConfig(
        vocab_size=205,
        dim=512,
        n_layers=18,
        n_heads=8,
        head_dim=64,
        segment=512,
        window=span,
        norm="layer",
        norm_place="post",
        position=LearnedConfig(span=span),
        shared_position=True,
        attention=AttentionConfig(qk_norm=False, scale=None, dropout=0.3, span=SpanConfig(limit=span, penalty=1e-7)),
        pools=PoolsConfig(cache=CacheConfig(stores="hidden"), persistent=PersistentConfig(n=1024)),
        head=HeadConfig(tied=False, bias=True),
        start="uniform",
    )
    train = TrainConfig(
        steps=480_000,
        fine_tune=30_000,
        lanes=64,
        optimizer="adagrad",
        adagrad_clip=0.03,
        eps=1e-10,
        weight_decay=0.0,
        lr=0.07,
        warmup=32_000,
        schedule="constant",
        clip=None,
    )
    data = DataConfig(source="enwik8", tokenizer="symbols")
    return RunConfig(recipe="all-attention", model=model, data=data, train=train)


def all_attention_enwik8_small() -> RunConfig:
    """`all-attention` on the 205 symbols of enwik8: 38,501,725 parameters, 1.01 bits per byte (test)."""
    return all_attention().replace(recipe="all-attention-enwik8-small")


def all_attention_enwik8_large() -> RunConfig:
    """36 layers and 2048 vectors a head: 114,017,773 parameters, 0.98 bits per byte on enwik8 (test)."""
    return _large(all_attention_enwik8_small(), "all-attention-enwik8-large")


def all_attention_text8_small() -> RunConfig:
    """`all-attention` on the 28 symbols of text8: 38,320,300 parameters, 1.11 bits per character (test)."""
    changes = {"model__vocab_size": 28, "data__source": "text8"}
    return all_attention().replace(recipe="all-attention-text8-small", **changes)


def all_attention_text8_large() -> RunConfig:
    """36 layers and 2048 vectors a head: 113,836,348 parameters, 1.08 bits per character on text8 (test)."""
    return _large(all_attention_text8_small(), "all-attention-text8-large")


def all_attention_wikitext103() -> RunConfig:
    """Words with adaptive input and softmax: 132,493,746 parameters, perplexity 20.6 on WikiText-103 (test).

    Adam: 800,000 steps, then 50,000 at a tenth of the rate; the norm of the whole gradient is clipped.
    """
    span = SpanConfig(limit=2048, penalty=5e-7)
    model = _large(all_attention(), "").model.replace(
        vocab_size=267_735,
        segment=256,
        window=2048,
        position=LearnedConfig(span=2048),
        attention=AttentionConfig(qk_norm=False, scale=None, dropout=0.3, span=span),
        embedding=EmbeddingConfig(kind="adaptive"),
        head=HeadConfig(tied=True),
        final_dropout=0.1,
    )
    train = TrainConfig(
        steps=850_000,
        fine_tune=50_000,
        lanes=64,
        optimizer="adamw",
        betas=(0.9, 0.999),
        weight_decay=0.0,
        lr=2.5e-4,
        warmup=8000,
        schedule="constant",
        clip=1.0,
    )
    data = DataConfig(source="wikitext-103", tokenizer="words")
    return RunConfig(recipe="all-attention-wikitext103", model=model, data=data, train=train)


def memorizing_all_attention() -> RunConfig:
    """Both papers in one model: `memorizing` whose feed-forward layers are 4096 persistent vectors a head.

    The gate mixes the memory with the context; that result joins the persistent vectors by log-sum-exp, so that no
    head loses what replaces its feed-forward layer. No published figure.
    """
    base = memorizing()
    pools = base.model.pools.replace(persistent=PersistentConfig(n=4096))
    return base.replace(recipe="memorizing-all-attention", model__pools=pools, model__feedforward=None)


def _large(base: RunConfig, name: str) -> RunConfig:
    """36 layers, 2048 vectors a head, dropout 0.4, as in the large models of 1907.01470."""
    pools = base.model.pools.replace(persistent=PersistentConfig(n=2048))
    attention = base.model.attention.replace(dropout=0.4)
    model = base.model.replace(n_layers=36, pools=pools, attention=attention)
    return base.replace(recipe=name, model=model, train__steps=210_000, train__fine_tune=10_000)
