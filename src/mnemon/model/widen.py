import torch

from mnemon.config import Problem
from mnemon.index import find_store
from mnemon.model.transformer import ModelConfig, Transformer
from mnemon.positions.transformer_xl import TransformerXLConfig


def widened(
    model: Transformer,
    window: int | None = None,
    segment: int | None = None,
    clamp: int | None = None,
    store: str | None = None,
) -> Transformer:
    """The same weights reading with another window, as Transformer-XL is evaluated (arXiv 1901.02860, section 4).

    Every token sees its `window` previous ones, and the cache keeps as many; `segment` tokens are fed at once; with
    Transformer-XL positions, distances beyond `clamp` count as `clamp`; the kNN memory lies in `store`, as
    `KNNConfig.index` names it. None: as trained. The weights are shared, not copied.
    """
    with torch.device("meta"):
        wide = Transformer(_stored(_config(model.config, window, segment, clamp), store))
    wide.load_state_dict(model.state_dict(), assign=True)
    return wide.train(model.training)


def _stored(config: ModelConfig, store: str | None) -> ModelConfig:
    if store is None:
        return config
    if config.pools.knn is None:
        raise Problem(f"store {store}: this model has no kNN memory that could lie there")
    find_store(store)  # where it is unknown, this says so in one line
    return config.replace(pools__knn=config.pools.knn.replace(index=store))


def _config(config: ModelConfig, window: int | None, segment: int | None, clamp: int | None) -> ModelConfig:
    for name, value in (("window", window), ("segment", segment), ("clamp", clamp)):
        if value is not None and value < 1:
            raise Problem(f"{name} {value}: must be at least 1")
    if segment is not None:
        config = config.replace(segment=segment)
    if window is not None:
        cache, span = config.pools.cache, config.attention.span
        if cache is None:
            raise Problem(f"window {window}: this model has no cache, so that its tokens see the segment alone")
        if span is not None and window > span.limit:
            raise Problem(f"window {window}: the attention spans of this model end at {span.limit}; give at most that")
        config = config.replace(window=window, pools__cache=cache.replace(length=None))
    if clamp is not None:
        if not isinstance(config.position, TransformerXLConfig):
            raise Problem(
                f"clamp {clamp}: for Transformer-XL positions alone; this model has {config.position.kind!r} positions"
            )
        config = config.replace(position=config.position.replace(clamp=clamp))
    return config
