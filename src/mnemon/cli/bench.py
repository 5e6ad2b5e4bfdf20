from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnemon.cli import bench_attach, bench_decode, bench_recall, bench_span, say
from mnemon.cli.bench_output import Output, give, ready
from mnemon.cli.flags import first_word, parse
from mnemon.cli.progress import Phases
from mnemon.config import Problem, nearest
from mnemon.studies import bench_train
from mnemon.studies.bench.charts import train_chart

PROG = "mnemon bench"


@dataclass(frozen=True, kw_only=True)
class Train(Output):
    """Tokens a second of training steps without a memory, with an empty one, with a full one, and of a peer."""

    rounds: int = 5
    """rounds in which the models take turns"""
    steps: int = 4
    """steps of each model in a round"""
    peer_python: Path = Path(".venv-peers/bin/python")
    """interpreter of the peer's environment, which make bench-peers makes"""


def run(words: list[str]) -> None:
    name, rest = first_word(words, Train, f"{PROG} WHAT")
    if name not in BENCHES:
        raise Problem(f"{name!r}: no such benchmark{nearest(name, list(BENCHES))}")
    command, measure = BENCHES[name]
    filled = parse(command, rest, f"{PROG} {name}")
    ready(filled)
    measure(filled, " ".join([PROG, *words]))


def _train(command: Train, words: str) -> None:
    with Phases() as show:
        found = bench_train(command.rounds, command.steps, command.peer_python, progress=show)
    give(command, found, words, lambda: _text(found), lambda: train_chart(found))


# By name: the flags, and what is called with them and the whole command line.
BENCHES: dict[str, tuple[type[Any], Callable[[Any, str], None]]] = {
    "train": (Train, _train),
    "recall": (bench_recall.Recall, bench_recall.run),
    "span": (bench_span.Span, bench_span.run),
    "decode": (bench_decode.Decode, bench_decode.run),
    "attach": (bench_attach.Attach, bench_attach.run),
}


def _text(found: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"training, tokens/s on one thread, {found['rounds']} rounds of {found['steps']} steps "
            f"of {found['tokens_a_step']:,} tokens",
            say.table([("", "median", "lowest", "highest"), *map(_row, found["models"].items())]),
            "",
            "times as long",
            say.table(
                (name.replace("_", " "), *(f"{ratio[which]:.2f}" for which in ("median", "low", "high")))
                for name, ratio in found["ratios"].items()
            ),
            "",
            ", ".join(f"{key} {value}" for key, value in found["environment"].items()),
        ]
    )


def _row(item: tuple[str, dict[str, Any]]) -> tuple[str, ...]:
    name, model = item
    if "missing" in model:
        return name, model["missing"], "", ""
    speed = model["tokens_per_second"]
    return name, *(f"{speed[which]:,.0f}" for which in ("median", "low", "high"))
