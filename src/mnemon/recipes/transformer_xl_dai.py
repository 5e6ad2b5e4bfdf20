from mnemon.data import DataConfig
from mnemon.model import AttentionConfig, FeedForwardConfig, HeadConfig, ModelConfig
from mnemon.pools import CacheConfig, PoolsConfig
from mnemon.positions.transformer_xl import TransformerXLConfig
from mnemon.train import RunConfig, TrainConfig


def transformer_xl_dai() -> RunConfig:
    """The 12-layer Transformer-XL of arXiv 1901.02860 on enwik8: 41M parameters, 1.06 bits per byte.

    Post-norm, LayerNorm, relative positions with u, v and W_r, hidden-state cache of 512, own token seen. The released
    code evaluates with a cache of 2100.
    Deviation: no biases in the feed-forward layer; u, v and W_r a layer, as in the released code's untied form.
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
        feedforward=FeedForwardConfig(dim=2048),
        head=HeadConfig(tied=False, bias=True),
        dropout=0.1,
        start="uniform",
    )
    train = TrainConfig(
        steps=400_000, lanes=22, lr=2.5e-4, warmup=0, schedule="cosine", optimizer="adamw", weight_decay=0.0
    )
    return RunConfig(
        recipe="transformer-xl-dai", model=model, data=DataConfig(source="", tokenizer="symbols"), train=train
    )
