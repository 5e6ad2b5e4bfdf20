from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnemon.studies.bench.train import bench_train
from mnemon.studies.bench.train_shapes import SHAPES, find_shape
from mnemon.studies.pages import Record, row
from mnemon.studies.workers import Progress

PEERS = Path(".venv-peers/bin/python")  # made by make bench-peers
COLUMNS = ("median", "low", "high")


def train_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """Every shape, one after the other."""
    shapes = {name: bench_train(find_shape(name), peer_python=PEERS, progress=progress) for name in SHAPES}
    environment = next(iter(shapes.values()))["environment"]
    return {"environment": environment, "shapes": shapes}


def train_lines(record: Record) -> list[str]:
    """Of each shape: tokens a second and the share of the floor, the ratios of times, and what the model is."""
    lines: list[str] = []
    for name, found in record["shapes"].items():
        layers, whole = found["layers"]
        model = found["recipes"]["without"]["model"]
        lines += [f"## {name}", ""]
        lines += [
            f"Width {model['dim']}, {layers} of {whole} layers, {model['n_heads']} heads, vocabulary "
            f"{model['vocab_size']:,}, segments of {model['segment']}, {found['recipes']['without']['train']['lanes']} "
            f"lanes; {found['rounds']} rounds of {found['steps']} steps of {found['tokens_a_step']:,} tokens, "
            f"threads: {found['environment']['threads']}.",
            "",
        ]
        lines += [row(["tokens/s in training", "median", "lowest", "highest", "of the floor"]), row(["---"] * 5)]
        lines += [row([model_name, *_speed(of)]) for model_name, of in found["models"].items()]
        lines += ["", row(["times as long", "median", "lowest", "highest"]), row(["---"] * 4)]
        for pair, ratio in found["ratios"].items():
            lines.append(row([pair.replace("_", " "), *(f"{ratio[which]:.2f}" for which in COLUMNS)]))
        lines.append("")
    lines += ["How it was made:", "", "- The models take turns; ratios of ours are of processor time on one thread."]
    lines += ["- The floor: the operations and the traffic of a step at this machine's own rates for the like."]
    return lines


def _speed(of: dict[str, Any]) -> list[str]:
    if "missing" in of:
        return [of["missing"], "", "", ""]
    share = f"{of['floor']['share']:.0%}" if "floor" in of else ""
    return [*(f"{of['tokens_per_second'][which]:,.0f}" for which in COLUMNS), share]
