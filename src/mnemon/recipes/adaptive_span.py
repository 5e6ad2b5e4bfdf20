"""The models of arXiv 1905.07799, which all-attention networks extend: the same with feed-forward layers."""

from mnemon.model import FeedForwardConfig
from mnemon.recipes.papers import all_attention_text8_small
from mnemon.recipes.tiny import all_attention_tiny
from mnemon.train import RunConfig


def adaptive_span_text8_small() -> RunConfig:
    """12 layers of width 512, feed-forward layers of 2048 (1905.07799, table 1): 1.11 bits per character on text8.

    Layer, positions, spans up to 8192 and optimiser as `all-attention`; the span loss is 5e-7, dropout 0.3 on
    attention weights and behind the ReLU. 900,000 steps.
    """
    base = all_attention_text8_small()
    span = base.model.attention.span
    assert span is not None
    model = base.model.replace(
        n_layers=12,
        pools=base.model.pools.replace(persistent=None),
        attention__span=span.replace(penalty=5e-7),
        feedforward=FeedForwardConfig(dim=2048, bias=True, dropout=0.3),
    )
    train = base.train.replace(steps=900_000, fine_tune=0)
    return base.replace(recipe="adaptive-span-text8-small", model=model, train=train)


def adaptive_span_text8_large() -> RunConfig:
    """24 layers of width 768, feed-forward layers of 4096, dropout 0.4: 1.07 bits per character on text8.

    250,000 steps, then 20,000 at a tenth of the rate.
    """
    base = adaptive_span_text8_small()
    model = base.model.replace(
        n_layers=24,
        dim=768,
        head_dim=96,
        attention__dropout=0.4,
        feedforward=FeedForwardConfig(dim=4096, bias=True, dropout=0.4),
    )
    train = base.train.replace(steps=270_000, fine_tune=20_000)
    return base.replace(recipe="adaptive-span-text8-large", model=model, train=train)


def adaptive_span_enwik8_small() -> RunConfig:
    """`adaptive-span-text8-small` on the 205 symbols of enwik8, 600,000 steps: 1.02 bits per byte."""
    return adaptive_span_text8_small().replace(
        recipe="adaptive-span-enwik8-small", model__vocab_size=205, data__source="enwik8", train__steps=600_000
    )


def adaptive_span_enwik8_large() -> RunConfig:
    """`adaptive-span-text8-large` on the 205 symbols of enwik8, 150,000 and 20,000 steps: 0.98 bits per byte."""
    return adaptive_span_text8_large().replace(
        recipe="adaptive-span-enwik8-large", model__vocab_size=205, data__source="enwik8", train__steps=170_000
    )


def adaptive_span_tiny() -> RunConfig:
    """`all_attention_tiny` with feed-forward layers of 508 instead of 512 persistent vectors: equal parameters.

    A feed-forward layer of 512 has 896 parameters more, by its biases and its norm.
    Deviation: as `all_attention_tiny`.
    """
    base = all_attention_tiny()
    pools = base.model.pools.replace(persistent=None)
    return base.replace(
        recipe="adaptive-span-tiny", model__pools=pools, model__feedforward=FeedForwardConfig(dim=508, bias=True)
    )
