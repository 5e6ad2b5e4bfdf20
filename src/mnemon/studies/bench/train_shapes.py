"""The models whose training is measured, without a memory and with one, by the name of their shape."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mnemon.config import Problem, nearest
from mnemon.pools import KNNConfig, PoolsConfig
from mnemon.recipes import recipe
from mnemon.train import RunConfig

VOCABULARY = 1024  # where the recipe leaves it to the texts


@dataclass(frozen=True)
class Shape:
    """`memories`: entries a row and head that are compared. `steps`: of each model in a round.

    `whole`: layers of the model that these are some of. `empties`: whether an empty memory is measured as well.
    `peer`: whether the other implementation is.
    """

    name: str
    without: RunConfig
    remembering: RunConfig
    memories: tuple[int, ...]
    steps: int
    whole: int
    empties: bool = False
    peer: bool = True

    @property
    def layers(self) -> int:
        """Layers that are measured."""
        return self.without.model.n_layers

    def memory(self, size: int) -> RunConfig:
        """The model with a memory of so many entries."""
        return self.remembering.replace(model__pools__knn__size=size)


def tiny() -> Shape:
    """`transformer-xl-tiny` and `memorizing-tiny` as they are."""
    return shape_of("tiny", recipe("transformer-xl-tiny"), recipe("memorizing-tiny"), (8192,), steps=4, empties=True)


def small() -> Shape:
    """Width 256, 6 layers of 4 heads, bytes, segments and cache of 512, 4 lanes; the memory in the fourth layer."""
    base = recipe("transformer-xl").model.replace(vocab_size=256, dim=256, n_layers=6, n_heads=4, head_dim=64)
    base = base.replace(feedforward__dim=1024, dropout=0.0, attention__dropout=0.0)
    train = recipe("memorizing-tiny").train.replace(optimizer="adamw", lanes=4, part=None)
    pools = PoolsConfig(cache=base.pools.cache, knn=KNNConfig(layers=(3,)))
    without = RunConfig(recipe="small, transformer-xl", model=base, train=train)
    remembering = without.replace(recipe="small, memorizing", model__pools=pools)
    return shape_of("small", without, remembering, (8192, 65_536), steps=2)


def paper() -> Shape:
    """`transformer-xl` and `memorizing-200m`, one lane."""
    without, remembering = (
        recipe(name).replace(train__lanes=1, train__step_tokens=None) for name in ("transformer-xl", "memorizing-200m")
    )
    return replace(shape_of("200m", without, remembering, (8192, 65_536), steps=1), peer=False)


def shape_of(
    name: str, without: RunConfig, remembering: RunConfig, memories: tuple[int, ...], steps: int, empties: bool = False
) -> Shape:
    """A shape of two models of the same layers."""
    if remembering.model.pools.knn is None:
        raise Problem(f"{remembering.recipe}: has no kNN memory to measure")
    without, remembering = (
        each.replace(model__vocab_size=each.model.vocab_size or each.data.vocab_size or VOCABULARY, train__accumulate=1)
        for each in (without, remembering)
    )
    return Shape(name, without, remembering, memories, steps, without.model.n_layers, empties)


SHAPES: dict[str, Callable[[], Shape]] = {"tiny": tiny, "small": small, "200m": paper}


def find_shape(name: str, layers: int | None = None, memories: tuple[int, ...] = ()) -> Shape:
    """A shape by its name, with the first `layers` of its layers (the memory at most in the last of them)."""
    if name not in SHAPES:
        raise Problem(f"{name!r}: no such shape{nearest(name, list(SHAPES))}")
    shape = SHAPES[name]()
    if memories:
        shape = replace(shape, memories=memories)
    if layers is None or layers == shape.layers:
        return shape
    if not 0 < layers < shape.layers:
        raise Problem(f"{layers} layers: the shape {name} has 1 to {shape.layers}")
    knn = shape.remembering.model.pools.knn
    assert knn is not None
    places = tuple(sorted({min(layer, layers - 1) for layer in knn.layers}))
    cut = shape.remembering.replace(model__n_layers=layers, model__pools__knn__layers=places)
    return replace(shape, without=shape.without.replace(model__n_layers=layers), remembering=cut)
