"""The tables of Memorizing Transformers (arXiv 2203.08913): rows, published figures and claims."""

from collections.abc import Iterator

from mnemon.pools import CacheConfig, PoolsConfig
from mnemon.recipes import recipe
from mnemon.studies.grid import Claim, Grid, Row, Scale
from mnemon.train import RunConfig

SETS = ("arXiv", "PG-19", "C4(4K+)", "GitHub", "Isabelle")
STANDS_FOR = {"books": "PG-19", "math-latex": "arXiv", "long-docs": "C4(4K+)", "python-env": "GitHub"}
SEGMENT: dict[Scale, int] = {"tiny": 64, "paper": 512}
# Table 4 of the paper: (context in segments of 512, memory in segments, cache) -> perplexity by data set.
MAIN: dict[tuple[int, int, bool], tuple[float, ...]] = {
    (1, 0, False): (3.29, 13.71, 17.20, 3.05, 3.09),
    (4, 0, False): (2.69, 12.37, 14.81, 2.22, 2.39),
    (1, 0, True): (2.67, 12.34, 15.38, 2.26, 2.46),
    (4, 0, True): (2.42, 11.88, 14.03, 2.10, 2.16),
    (1, 3, False): (2.61, 12.50, 14.97, 2.20, 2.33),
    (1, 16, False): (2.49, 12.29, 14.42, 2.09, 2.19),
    (1, 16, True): (2.37, 11.93, 14.04, 2.03, 2.08),
    (1, 128, True): (2.31, 11.62, 14.04, 1.87, 2.06),
    (4, 16, True): (2.33, 11.84, 13.80, 1.98, 2.06),
    (4, 128, True): (2.26, 11.37, 13.64, 1.80, 1.99),
}
STEPS = 2000  # of the tiny models: 2.05M tokens
NOTES = (
    "Tiny scale: 4 layers of width 128, segments of 64 tokens instead of 512, a byte-level BPE vocabulary of 1024 "
    "trained on each corpus, 2.05M training tokens instead of 65.5 billion; memory sizes are the same number of "
    "segments.",
    "The memory pairs each key with the next token's value, and its layer starts with W_k = W_q (recipe "
    "`memorizing-tiny`; the table `pairing` measures what each of the two brings).",
    "Perplexities of different vocabularies and corpora cannot be set beside each other; their relative changes can.",
)


def model(
    scale: Scale, context: int = 1, memory: int = 0, cache: bool = True, layers: tuple[int, ...] | None = None
) -> RunConfig:
    """A model with a context of so many segments, a memory of so many, and a cache as long as the context."""
    length = SEGMENT[scale]
    name = "memorizing" if memory else "transformer-xl" if cache else "vanilla"
    base = recipe(f"{name}-tiny" if scale == "tiny" else name)
    if scale == "tiny":
        base = base.replace(train__steps=STEPS)
    segment = context * length
    lanes = base.train.lanes // context  # as many tokens a step; 0 where they follow from these anyway
    pools = PoolsConfig(cache=CacheConfig() if cache else None)
    if memory:
        assert base.model.pools.knn is not None
        knn = base.model.pools.knn.replace(size=memory * length)
        pools = pools.replace(knn=knn if layers is None else knn.replace(layers=layers))
    return base.replace(model__segment=segment, model__window=segment, model__pools=pools, train__lanes=lanes)


def main_name(context: int, memory: int, cache: bool) -> str:
    """How a row of the main table is called."""
    said = f"context {context} segment{'s' if context > 1 else ''}, {'cache' if cache else 'no cache'}"
    return f"{said}, memory {memory} segments" if memory else f"{said}, no memory"


def main_row(scale: Scale, context: int, memory: int, cache: bool) -> Row:
    """A row of the main table, which other tables share."""
    return Row(
        main_name(context, memory, cache),
        model(scale, context, memory, cache),
        memory=memory * SEGMENT[scale],
        against=main_name(context, 0, cache) if memory else None,
        published=dict(zip(SETS, MAIN.get((context, memory, cache), ()), strict=False)),
        claimed=cache and context == 1 and memory in (0, 16),
    )


def _main(scale: Scale) -> list[Row]:
    wanted = [(1, memory, cache) for cache in (False, True) for memory in (0, 3, 16, 128)]
    wanted += [(4, 0, False), (4, 0, True)]
    if scale == "paper":
        wanted += [(4, 16, True), (4, 128, True)]
    return [main_row(scale, *each) for each in wanted]


BASE, WITH = main_name(1, 0, True), main_name(1, 16, True)
CONTEXT = "A step has 1024 tokens in all rows, so with a context of 4 segments it has a quarter of the lanes."
B_MAIN = Grid(
    "Context, cache and memory on each data set",
    "What does a memory bring, by data set, with and without a cache? (Table 4 of arXiv 2203.08913)",
    "perplexity",
    _main,
    (
        Claim("A memory of 16 segments lowers the loss of the model with a cache.", WITH, BASE),
        Claim("A memory of 128 segments lowers it further.", main_name(1, 128, True), WITH),
        Claim(
            "Without a cache, a memory of 16 segments brings more than a context of 4 segments.",
            main_name(1, 16, False),
            main_name(4, 0, False),
        ),
    ),
    STANDS_FOR,
    (*NOTES, CONTEXT),
)


def _layer(scale: Scale) -> list[Row]:
    depth = model(scale).model.n_layers
    shown = (1, 2, 3, 4) if scale == "tiny" else (3, 6, 9, 12)
    published = dict(zip((3, 6, 9, 12), (2.40, 2.36, 2.37, 2.43), strict=True))
    usual = 3 if scale == "tiny" else 9
    rows = [Row("no memory", model(scale), published={"arXiv": 2.67})]
    for layer in shown:
        name = f"memory in layer {layer} of {depth}"
        config = model(scale, 1, 16, layers=(layer - 1,))
        figure = {"arXiv": published[layer * 12 // depth]}
        rows.append(Row(name, config, 16 * SEGMENT[scale], against="no memory", published=figure))
    two = (usual - 1, depth - 1)
    name = f"memory in layers {usual} and {depth}"
    rows.append(Row(name, model(scale, 1, 16, layers=two), 16 * SEGMENT[scale], against="no memory"))
    return rows


B_LAYER = Grid(
    "Which layer holds the memory",
    "Does it matter which layer reads the memory, and do two layers bring more? (arXiv 2203.08913: 9 of 12)",
    "perplexity",
    _layer,
    (),
    STANDS_FOR,
    NOTES,
)


def _top_k(scale: Scale) -> list[Row]:
    rows = [Row("no memory", model(scale), published={"arXiv": 2.67})]
    for top_k, figure in ((8, None), (32, 2.38), (128, 2.37), (256, 2.37)):
        config = model(scale, 1, 16).replace(model__pools__knn__top_k=top_k)
        published = {} if figure is None else {"arXiv": figure}
        row = Row(f"{top_k} neighbours", config, 16 * SEGMENT[scale], against="no memory", published=published)
        rows.append(row)
    return rows


B_TOPK = Grid(
    "How many neighbours",
    "How many retrieved entries does a query need? (Ablation of arXiv 2203.08913)",
    "perplexity",
    _top_k,
    (),
    STANDS_FOR,
    NOTES,
)


SMALLEST, SECOND, LARGEST = "smallest", "twice as wide", "four times as wide"


def _sizes(scale: Scale) -> Iterator[tuple[str, RunConfig, RunConfig]]:
    """Name, model without and model with memory, of each size."""
    context = 1 if scale == "tiny" else 4
    widths = (64, 128, 256) if scale == "tiny" else (512, 1024, 2048)
    for size, width in zip((SMALLEST, SECOND, LARGEST), widths, strict=True):
        pair = [model(scale, context, memory, cache=False) for memory in (0, 16)]
        if width != pair[0].model.dim:
            heads = pair[0].model.n_heads * width // pair[0].model.dim
            change = {"dim": width, "n_heads": heads, "feedforward__dim": 4 * width}
            pair = [each.replace(**{f"model__{key}": value for key, value in change.items()}) for each in pair]
        yield size, pair[0], pair[1]


def _scaling(scale: Scale) -> list[Row]:
    rows = []
    published = {SECOND: (2.69, 2.43)}
    for name, plain, remembering in _sizes(scale):
        figures = [{"arXiv": each} for each in published.get(name, ())] or [{}, {}]
        rows.append(Row(f"{name}, no memory", plain, published=figures[0]))
        with_memory = f"{name}, memory 16 segments"
        size = 16 * SEGMENT[scale]
        rows.append(Row(with_memory, remembering, size, against=rows[-1].name, published=figures[1]))
    return rows


B_SCALING = Grid(
    "Size of the model",
    "Does the gain remain as the model grows, and how much larger would a model without memory have to be? "
    "(arXiv 2203.08913: 2.69 to about 2.43 at 200M, about 2.13 to 1.89 at 8B; no cache)",
    "perplexity",
    _scaling,
    (
        Claim(
            "The smallest model with memory is better than one of twice its width without.",
            f"{SMALLEST}, memory 16 segments",
            f"{SECOND}, no memory",
        ),
        Claim(
            "The largest model gains.",
            f"{LARGEST}, memory 16 segments",
            f"{LARGEST}, no memory",
        ),
    ),
    STANDS_FOR,
    (*NOTES, "Smallest to largest: width 64, 128, 256, four layers each; the paper's 200M has width 1024."),
)


def _gain(scale: Scale) -> list[Row]:
    length = SEGMENT[scale]
    config = model(scale, 1, 128)
    rows = [Row("read without memory", config)]
    for memory in (1, 3, 16, 64, 128, 256):
        name = f"read with {memory} segment{'s' if memory > 1 else ''}"
        rows.append(Row(name, config, memory * length, against="read without memory"))
    return rows


B_GAIN = Grid(
    "Gain by memory size",
    "One model, trained with 128 segments of memory and read with less or more: where do returns diminish?",
    "perplexity",
    _gain,
    (
        Claim("128 segments are better than 16.", "read with 128 segments", "read with 16 segments"),
        Claim("256 segments are better than 128.", "read with 256 segments", "read with 128 segments"),
    ),
    STANDS_FOR,
    (*NOTES, "A model that has learned to lean on its memory loses more without it than one that never had any."),
)
