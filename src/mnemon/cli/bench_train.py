from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.config import Problem
from mnemon.studies import bench_train
from mnemon.studies.bench.charts import train_chart
from mnemon.studies.bench.train_shapes import find_shape


@dataclass(frozen=True, kw_only=True)
class Train(Output):
    """Tokens a second of training steps without a memory, with full ones of several sizes, and of a peer."""

    shape: str = "tiny"
    """tiny: the recipes of that size; small: width 256, 6 layers, 4 lanes; 200m: memorizing-200m, one lane"""
    memory: str = ""
    """entries a row and head, with commas between (default: the shape's)"""
    layers: int | None = None
    """how many of the shape's layers are measured (default: all)"""
    threads: int = 1
    """threads of every model, the peer's too"""
    rounds: int = 5
    """rounds in which the models take turns"""
    steps: int | None = None
    """steps of each model in a round (default: the shape's)"""
    peer_python: Path = Path(".venv-peers/bin/python")
    """interpreter of the peer's environment, which make bench-peers makes"""


def run(command: Train, words: str) -> None:
    try:
        memories = tuple(int(part) for part in command.memory.split(",") if part)
    except ValueError:
        raise Problem(
            f"--memory {command.memory}: give whole numbers with commas between, such as 8192,65536"
        ) from None
    shape = find_shape(command.shape, command.layers, memories)
    with Phases() as show:
        found = bench_train(
            shape,
            command.rounds,
            command.steps,
            command.threads,
            peer_python=command.peer_python,
            progress=show,
        )
    give(command, found, words, lambda: _text(found), lambda: train_chart(found))


def _text(found: dict[str, Any]) -> str:
    layers, whole = found["layers"]
    return "\n".join(
        [
            f"training, {found['shape']}, {layers} of {whole} layers, tokens/s, threads: "
            f"{found['environment']['threads']}, {found['rounds']} rounds of {found['steps']} steps of "
            f"{found['tokens_a_step']:,} tokens",
            say.table([("", "median", "lowest", "highest", "of the floor"), *map(_row, found["models"].items())]),
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
        return name, model["missing"], "", "", ""
    speed, share = model["tokens_per_second"], f"{model['floor']['share']:.0%}" if "floor" in model else ""
    return name, *(f"{speed[which]:,.0f}" for which in ("median", "low", "high")), share
