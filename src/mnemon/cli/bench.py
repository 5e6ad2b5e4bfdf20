from collections.abc import Callable
from typing import Any

from mnemon.cli import (
    bench_attach,
    bench_attention,
    bench_cost,
    bench_decode,
    bench_faults,
    bench_gpu_floor,
    bench_read,
    bench_recall,
    bench_scale,
    bench_search,
    bench_span,
    bench_store,
    bench_train,
)
from mnemon.cli.bench_output import ready
from mnemon.cli.flags import first_word, parse
from mnemon.config import Problem, nearest

PROG = "mnemon bench"


def run(words: list[str]) -> None:
    name, rest = first_word(words, bench_train.Train, f"{PROG} WHAT")
    if name not in BENCHES:
        raise Problem(f"{name!r}: no such benchmark{nearest(name, list(BENCHES))}")
    command, measure = BENCHES[name]
    filled = parse(command, rest, f"{PROG} {name}")
    ready(filled)
    measure(filled, " ".join([PROG, *words]))


# By name: the flags, and what is called with them and the whole command line.
BENCHES: dict[str, tuple[type[Any], Callable[[Any, str], None]]] = {
    "train": (bench_train.Train, bench_train.run),
    "recall": (bench_recall.Recall, bench_recall.run),
    "search": (bench_search.Search, bench_search.run),
    "store": (bench_store.Store, bench_store.run),
    "scale": (bench_scale.Scale, bench_scale.run),
    "span": (bench_span.Span, bench_span.run),
    "decode": (bench_decode.Decode, bench_decode.run),
    "read": (bench_read.Read, bench_read.run),
    "cost": (bench_cost.Cost, bench_cost.run),
    "gpu-floor": (bench_gpu_floor.GpuFloor, bench_gpu_floor.run),
    "attention": (bench_attention.Attention, bench_attention.run),
    "faults": (bench_faults.Faults, bench_faults.run),
    "attach": (bench_attach.Attach, bench_attach.run),
}
