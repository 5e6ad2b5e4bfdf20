"""What two ranks say, and leave behind, when something is wrong: `python faults.py FOLDER` prints it as JSON."""

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ranked
import tiny
from mnemon.cli import main
from mnemon.train import Record, checkpoint, read_records, train
from mnemon.train.checkpoint import newest, saved_steps

SIZES = "--model.dim 32 --model.n-layers 2 --model.n-heads 2 --model.head-dim 16 --model.segment 16 --model.window 16"
READS = "--data.tokenizer bytes --data.vocab-size None"
TRAIN = f"train vanilla-tiny {SIZES} {READS} --train.steps 9 --train.device cpu".split()


def said(folder: Path, job: Callable[[], object], ranks: int = 2) -> dict[str, Any]:
    """Exit statuses, lines on standard error, and the newest checkpoint that is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    held, told = os.dup(2), folder / "said"
    with open(told, "wb") as file:
        os.dup2(file.fileno(), 2)
        statuses = ranked.forked(ranks, job)
        os.dup2(held, 2)
    lines = [line for line in told.read_text().splitlines() if line.startswith("mnemon: ")]
    found: dict[str, Any] = {"statuses": statuses, "lines": lines}
    if (folder / "run" / "checkpoints").is_dir():
        found["whole"] = newest(folder / "run" / "checkpoints").values["step"]
        found["steps"] = saved_steps(folder / "run" / "checkpoints")
        found["torn"] = [path.name for path in (folder / "run").rglob(".*")]
        found["read"] = len(read_records(folder / "run"))
    return found


def words(folder: Path, *more: str) -> Callable[[], object]:
    """A command as rank and rank run it."""
    return lambda: sys.exit(main([*TRAIN, "--data", str(folder / "texts"), "--out", str(folder / "run"), *more]))


def trained(folder: Path, on_step: Callable[[Record], None]) -> Callable[[], object]:
    """A training by the library, in which something happens; what it raises is said as the command does."""
    config = tiny.run_config("memorizing", threads=1, patience=60.0, parallel="ddp", optimizer="adamw")
    command = sys.modules["mnemon.cli.main"]

    def job() -> None:
        command._dispatch = lambda words: train(config, folder / "run", tiny.corpus(), on_step=on_step)  # type: ignore[attr-defined]
        sys.exit(main([]))

    return job


def on_second(step: int, act: Callable[[], object]) -> Callable[[Record], None]:
    """Something that rank 1 alone does after a step."""
    return lambda record: act() if record["step"] == step and os.environ["RANK"] == "1" else None  # type: ignore[return-value]


def full(*words: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def elsewhere(job: Callable[[], object], folder: Path) -> Callable[[], object]:
    """The job, of which rank 1 runs in another folder, as on a machine that lacks the files."""

    def moved() -> None:
        there = folder / f"machine-{os.environ['RANK']}"
        there.mkdir(exist_ok=True)
        os.chdir(there)
        job()

    return moved


def faults(folder: Path) -> dict[str, Any]:
    texts = folder / "texts"
    texts.mkdir(parents=True)
    for document in tiny.documents():
        (texts / f"{document.id}.txt").write_text(document.text)
    (folder / "machine-0").mkdir()
    (folder / "machine-0" / "texts").symlink_to(texts)
    here = [*TRAIN, "--data", "texts", "--out", str(folder / "run")]
    split = [*TRAIN, "--data", str(texts), "--out", "run"]
    found = {
        "lanes": said(folder, words(folder, "--train.lanes", "3")),
        "flag": said(folder, words(folder, "--train.lames", "3")),
        "command": said(folder, lambda: sys.exit(main(["eval", "run"]))),
        "one machine lacks the texts": said(folder, elsewhere(lambda: sys.exit(main(here)), folder)),
        "one machine lacks the folder": said(folder, elsewhere(lambda: sys.exit(main(split)), folder)),
        "alone": said(folder, words(folder, "--train.parallel", "fsdp"), ranks=1),
    }
    (folder / "run").mkdir()
    (folder / "run" / "notes").write_text("mine")
    found["there"] = said(folder, words(folder))
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    fill = lambda: setattr(checkpoint, "write_tensors", full)  # noqa: E731
    stop = lambda: signal.raise_signal(signal.SIGTERM)  # noqa: E731
    for name, act in (("killed", kill), ("full", fill), ("stopped", stop)):
        found[name] = said(folder / name, trained(folder / name, on_second(7, act)))
    return found


def unmet(folder: Path) -> dict[str, Any]:
    """Rank 1 of two, where rank 0 never comes."""
    place = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(ranked.free_port())}
    os.environ |= place
    return said(folder, words(folder, "--train.patience", "2"), ranks=1)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(json.dumps({**faults(folder / "faults"), "unmet": unmet(folder / "unmet")}))
