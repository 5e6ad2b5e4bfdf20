"""The models of arXiv 1901.02860, which both papers are compared with."""

from mnemon.data import DataConfig
from mnemon.model import AttentionConfig, EmbeddingConfig, FeedForwardConfig, HeadConfig, ModelConfig
from mnemon.pools import CacheConfig, PoolsConfig
from mnemon.positions.transformer_xl import TransformerXLConfig
from mnemon.train import RunConfig, TrainConfig


def transformer_xl_dai() -> RunConfig:
    """The 12-layer Transformer-XL of arXiv 1901.02860 on enwik8: 41M parameters, 1.06 bits per byte.

    Post-norm, LayerNorm, relative positions with u, v and W_r, hidden-state cache of 512, own token seen, biases in the
    feed-forward layer alone. Evaluated with segments of 80, a window of 2100 and distances up to 820 told apart.
    Deviation: u and v a layer, as in the released code's untied form; an output of its own, not the embedding's.
    """
    model = ModelConfig(
        vocab_size=205,
        dim=512,
        n_layers=12,
        n_heads=8,
        head_dim=64,
        segment=512,
        window=512,
        norm="layer",
        norm_place="post",
        position=TransformerXLConfig(),
        attention=AttentionConfig(qk_norm=False, scale=None, own_token=True),
        pools=PoolsConfig(cache=CacheConfig(stores="hidden")),
        feedforward=FeedForwardConfig(dim=2048, bias=True, dropout=0.1),
        head=HeadConfig(tied=False, bias=True),
        dropout=0.1,
        final_dropout=0.1,
        start="uniform",
    )
    train = TrainConfig(
        steps=400_000,
        lanes=22,
        optimizer="adamw",
        betas=(0.9, 0.999),
        weight_decay=0.0,
        lr=2.5e-4,
        warmup=0,
        schedule="cosine",
        clip=0.25,
    )
    return RunConfig(
        recipe="transformer-xl-dai", model=model, data=DataConfig(source="enwik8", tokenizer="symbols"), train=train
    )


def transformer_xl_dai_enwik8_large() -> RunConfig:
    """24 layers of width 1024 on enwik8: 277M parameters, 0.99 bits per byte.

    Evaluated with segments of 128, a window of 3800 and distances up to 1000 told apart.
    """
    model = _wide(transformer_xl_dai().model, 0.15).replace(
        n_layers=24, head_dim=128, segment=768, window=768, feedforward__dim=3072
    )
    return transformer_xl_dai().replace(
        recipe="transformer-xl-dai-enwik8-large", model=model, train__lanes=64, train__warmup=4000
    )


def transformer_xl_dai_text8_large() -> RunConfig:
    """`transformer-xl-dai-enwik8-large` on the 28 symbols of text8, without warm-up: 1.08 bits per character."""
    return transformer_xl_dai_enwik8_large().replace(
        recipe="transformer-xl-dai-text8-large", model__vocab_size=28, train__warmup=0, data__source="text8"
    )


def transformer_xl_dai_wikitext103_base() -> RunConfig:
    """16 layers of width 410 on WikiText-103: 151M parameters, perplexity 24.0.

    Adaptive softmax over clusters of equal width, tied to the input. Evaluated with segments of 64, a window of 640 and
    distances up to 400 told apart.
    """
    base = transformer_xl_dai()
    model = base.model.replace(
        vocab_size=267_735,
        dim=410,
        n_layers=16,
        n_heads=10,
        head_dim=41,
        segment=150,
        window=150,
        feedforward__dim=2100,
        embedding=EmbeddingConfig(kind="adaptive", divide=1),
        head=HeadConfig(tied=True),
    )
    train = base.train.replace(steps=200_000, lanes=60)
    data = DataConfig(source="wikitext-103", tokenizer="words")
    return base.replace(recipe="transformer-xl-dai-wikitext103-base", model=model, data=data, train=train)


def transformer_xl_dai_wikitext103_large() -> RunConfig:
    """18 layers of width 1024 on WikiText-103, words in clusters of widths 1024 to 16: perplexity 18.3.

    Evaluated with segments of 128, a window of 1600 and distances up to 1000 told apart.
    """
    base = transformer_xl_dai_wikitext103_base()
    model = _wide(base.model, 0.2).replace(
        n_layers=18,
        n_heads=16,
        head_dim=64,
        segment=384,
        window=384,
        feedforward__dim=4096,
        embedding=EmbeddingConfig(kind="adaptive", divide=4),
    )
    train = base.train.replace(steps=4_000_000, lanes=128, warmup=16_000)
    return base.replace(recipe="transformer-xl-dai-wikitext103-large", model=model, train=train)


def _wide(model: ModelConfig, dropout: float) -> ModelConfig:
    """Width 1024, with the same dropout everywhere."""
    return model.replace(
        dim=1024, dropout=dropout, final_dropout=dropout, attention__dropout=dropout, feedforward__dropout=dropout
    )
