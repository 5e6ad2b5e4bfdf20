"""Tables of how a memory is learnt: later, larger, or with another pairing (arXiv 2203.08913, section 4)."""

from mnemon.studies.grid import Claim, Grid, Row, Scale
from mnemon.studies.tables_b import NOTES, SEGMENT, STANDS_FOR, main_row, model
from mnemon.train import RunConfig


def _tuned(config: RunConfig, share: float, rate: float = 1.0) -> RunConfig:
    """`config` for a share of its steps; where the recipe's rate falls along a line, it falls from `rate` times it."""
    train = config.train
    steps = max(1, round(train.steps * share))
    if train.schedule != "linear":
        return config.replace(train__steps=steps)
    shorter = config.replace(train__steps=steps, train__warmup=min(10, steps), train__decay=1.0)
    return shorter.replace(train__lr=rate * train.lr, train__muon_lr=rate * train.muon_lr)


def _larger(scale: Scale) -> list[Row]:
    length = SEGMENT[scale]
    small = main_row(scale, 1, 16, True)
    first = Row("memory 16 segments", small.config, 16 * length, published={"arXiv": 2.37})
    rows = [first, Row("memory 128 segments", model(scale, 1, 128), 128 * length, published={"arXiv": 2.31})]
    for memory, figure in ((128, 2.32), (256, 2.30), (512, 2.26)):
        config = _tuned(model(scale, 1, memory), 0.04, 0.1)
        name = f"memory 16 segments, 4 % more steps with {memory}"
        rows.append(Row(name, config, memory * length, first, first.name, {"arXiv": figure}))
    for memory in (128, 512):
        name = f"memory 16 segments, read with {memory} untuned"
        rows.append(Row(name, small.config, memory * length, against=first.name))
    return rows


B_FINETUNE = Grid(
    "Fine-tuning to a larger memory",
    "Can a model trained with a small memory go over to a large one within 4 % of the steps? (arXiv "
    "2203.08913: 20,000 of 500,000 steps, up to 262,144 entries)",
    "perplexity",
    _larger,
    (
        Claim(
            "Fine-tuned to 128 segments it is better than with the 16 it was trained with.",
            "memory 16 segments, 4 % more steps with 128",
            "memory 16 segments",
        ),
    ),
    STANDS_FOR,
    (
        *NOTES,
        "Fine-tuning at tiny scale: the rate starts at a tenth of the recipe's and falls to nothing.",
        "The 131K figure (2.30) is from recollection, not from a source.",
    ),
)


def _pretrained(scale: Scale) -> list[Row]:
    length = SEGMENT[scale]
    none = Row("no memory", model(scale), claimed=True)
    scratch = Row("memory 128 segments from the start", model(scale, 1, 128), 128 * length, against=none.name)
    rows = [none, scratch]
    for share in (0.04, 0.2, 1.0):
        name = f"no memory, then {share:.0%} of the steps with 128 segments"
        rows.append(Row(name, _tuned(model(scale, 1, 128), share), 128 * length, none, none.name))
    control = _tuned(model(scale), 0.2)
    return [*rows, Row("no memory, then 20% of the steps without", control, 0, none, none.name)]


B_PRETRAINED = Grid(
    "Adding memory to a trained model",
    "How much of what a memory brings does a short fine-tuning of a model trained without it reach? (arXiv "
    "2203.08913: 85 % of the gap after 4 % of the steps, all of it after 20 %)",
    "perplexity",
    _pretrained,
    (
        Claim(
            "A model trained without memory gains by fine-tuning with one, beyond what the further steps bring.",
            "no memory, then 20% of the steps with 128 segments",
            "no memory, then 20% of the steps without",
        ),
    ),
    STANDS_FOR,
    (
        *NOTES,
        "The layer that gets the memory starts with W_k = W_q, its other weights and all other layers as they were "
        "trained. 4 % of the steps are 20,000 in the paper and 80 here.",
    ),
)


def _pairing(scale: Scale) -> list[Row]:
    base = model(scale, 1, 128)
    rows = []
    for name, value, equal, faithful in (
        (OURS, "next", True, False),
        ("next value, unequal start", "next", False, False),
        ("own value, equal start", "own", True, False),
        (PUBLISHED, "own", False, False),
        (f"{OURS}, faithful", "next", True, True),
        (f"{PUBLISHED}, faithful", "own", False, True),
    ):
        config = base.replace(model__pools__knn__value=value, model__attention__equal_start=equal)
        config = config.replace(model__faithful=faithful)
        rows.append(Row(name, config, 128 * SEGMENT[scale], against=f"{name}, read without memory"))
        rows.append(Row(f"{name}, read without memory", config))
    return rows


OURS, PUBLISHED = "next value, equal start", "own value, unequal start (as published)"
PAIRING = Grid(
    "What the memory stores, how its search starts, and what empty means",
    "What do the two deviations of `memorizing-tiny` bring: the next token's value, and equal projections at the "
    "start? And what does it cost to count an empty memory and cache as zeros, as the released code does (`faithful`)?",
    "bits_per_byte",
    _pairing,
    tuple(
        Claim(f"{OURS!r} is better than {other!r}.", OURS, other)
        for other in ("next value, unequal start", "own value, equal start", PUBLISHED, f"{OURS}, faithful")
    ),
    {},
    (
        *NOTES,
        "Faithful, a segment of n tokens has n - 1 losses in training; evaluation predicts every token in all rows.",
    ),
)
