"""The floor of a training step on a GPU that is not there: counted work over the rates of its data sheet."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from mnemon.config import Problem, nearest
from mnemon.ops.accelerated import kernels
from mnemon.recipes import count_parameters, recipe
from mnemon.report import Chart
from mnemon.studies.bench.floor import Rates, Work
from mnemon.studies.bench.train_floor import pieces
from mnemon.studies.pages import Record
from mnemon.train import RunConfig

SORT = 160  # operations a lane when 128 are sorted for their best 32: some 20 exchanges of 64-bit numbers, 8 each
MEMBER = 330  # operations a member that is scored again, d 64, and sorted
LANES = 128
MEMORIES = (8192, 65_536, 262_144)


@dataclass(frozen=True)
class Card:
    """A GPU by its data sheet: operations a second of bfloat16 products and of float32 alone, bytes a second, bytes.

    `link`: bytes a second from the host, one way.
    """

    name: str
    source: str
    products: float
    plain: float
    traffic: float
    memory: float
    link: float


HOPPER = "NVIDIA, data sheet of the {0} Tensor Core GPU, column {0} SXM, without sparsity"
CARDS = {
    "h100": Card("H100 SXM", HOPPER.format("H100"), 989e12, 67e12, 3.35e12, 80e9, 64e9),
    "h200": Card("H200 SXM", HOPPER.format("H200"), 989e12, 67e12, 4.8e12, 141e9, 64e9),
}


@dataclass(frozen=True)
class Plan:
    """What is reasoned on: a recipe's training step of one segment a lane, at each size of its memory."""

    recipe: str = "memorizing-200m"
    memories: Sequence[int] = MEMORIES
    lanes: int = 1
    card: str = "h200"
    share: float = 0.5


def bench_gpu_floor(plan: Plan | None = None, compiles: bool = False) -> Record:
    """Seconds of a step by part, at each size of memory and without one; nothing is run.

    Each part takes the longer of its products at the tensor cores' rate and its traffic at the memory's. `ratio` is the
    step's time over the one without memory where both reach the floor, and `ratio_at_share` where all but search and
    neighbours reach `share` of it, while those two take what our kernels need by count of their operations: products,
    one comparison a score, the sort of 128 lanes a part and the second scoring of their members, none of it hidden
    behind the other. `compiles`: also compile the kernels for the card's architecture and say what they occupy.
    """
    plan = plan or Plan()
    if plan.card not in CARDS:
        raise Problem(f"{plan.card!r}: no data sheet of such a card{nearest(plan.card, list(CARDS))}")
    if not 0 < plan.share <= 1:
        raise Problem(f"a share of {plan.share}: give one above 0 and up to 1")
    config, card = recipe(plan.recipe), CARDS[plan.card]
    knn = config.model.pools.knn
    if knn is None:
        raise Problem(f"{plan.recipe} has no kNN memory; memorizing-200m has one")
    if not plan.memories or min(plan.memories) < knn.top_k or plan.lanes < 1:
        raise Problem(f"give memories of at least top_k = {knn.top_k} entries, and at least one lane")
    parameters = count_parameters(config.model).total
    rows = [_row(plan, card, config, parameters, size) for size in (0, *plan.memories)]
    bare = rows[0]["seconds"]
    for row in rows:
        row["ratio"] = row["seconds"] / bare
        row["ratio_at_share"] = row["at_share"] / rows[0]["at_share"]
    found = {"format": 1, "benchmark": "gpu-floor", **asdict(plan), "card": asdict(card), "parameters": parameters}
    tokens = plan.lanes * config.model.segment
    found |= {"tokens": tokens, "rows": rows}
    if compiles:
        found["kernels"] = kernels("mnemon.studies.bench.gpu_kernels").compiled(knn.top_k, config.model.head_dim)
    return found


def _row(plan: Plan, card: Card, config: RunConfig, parameters: int, size: int) -> Record:
    knn = config.model.pools.knn
    assert knn is not None
    kept = config.model.pools.replace(knn=knn.replace(size=size) if size else None)
    train = config.train.replace(lanes=plan.lanes, step_tokens=None)
    sized = config.replace(model=config.model.replace(pools=kept), train=train)
    rates = Rates(card.products, card.traffic)
    works = {name: piece.work for name, piece in pieces(sized, parameters).items()}
    took = {name: rates.floor(work) for name, work in works.items()}
    base = sum(seconds for name, seconds in took.items() if name not in ("search", "neighbours"))
    ours = _ours(sized, size, works, card) if size else 0.0
    entry = 2 * 2 * config.model.n_heads * config.model.head_dim * len(knn.layers)  # key and value, two bytes a number
    return {
        "memory": size,
        "pieces": took,
        "seconds": sum(took.values()),
        "at_share": base / plan.share + ours,
        "bytes_a_lane": entry * size,
        "lanes_that_fit": int((card.memory - 16 * parameters) // (entry * size)) if size else None,
        "link_seconds": plan.lanes * entry / 2 * size / card.link,
    }


def _ours(config: RunConfig, size: int, works: dict[str, Work], card: Card) -> float:
    """Seconds of our kernels at the card's rates, with nothing hidden behind anything."""
    model, knn = config.model, config.model.pools.knn
    assert knn is not None
    queries = config.train.lanes * model.segment * model.n_heads * len(knn.layers)
    turns = 1 << (math.isqrt(max(size // LANES, 4)) - 1).bit_length()
    each = size * (1 + SORT / turns) + knn.top_k * turns * MEMBER * model.head_dim / 64
    members = Work(bytes=2.0 * queries * knn.top_k * turns * model.head_dim)
    plain = queries * each / (card.plain / 2)  # the data sheet counts a product and its sum as two
    rates = Rates(card.products, card.traffic)
    return plain + rates.floor(works["search"]) + rates.floor(works["neighbours"]) + rates.floor(members)


def gpu_floor_chart(found: Record) -> Chart:
    """Milliseconds of a step by memory: at the floor, and at the share that is assumed."""
    took = {
        label: {row["memory"]: dict.fromkeys(("median", "low", "high"), 1000 * row[key]) for row in found["rows"][1:]}
        for label, key in (("the floor", "seconds"), (f"at {found['share']:.0%} of it", "at_share"))
    }
    return Chart.by_size(f"A training step on {found['card']['name']}, reasoned", "milliseconds", "entries", took)
