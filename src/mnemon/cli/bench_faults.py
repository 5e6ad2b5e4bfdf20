from dataclasses import dataclass
from typing import Any

from mnemon.cli import say
from mnemon.cli.bench_output import Output, give
from mnemon.cli.progress import Phases
from mnemon.config import Problem
from mnemon.studies.faults.bench import COUNT, bench_faults, faults_chart, not_run


@dataclass(frozen=True, kw_only=True)
class Faults(Output):
    """Whether anything is lost, or comes back, when processes are killed, disks are full or files are damaged."""

    count: int = COUNT
    """faults, of all kinds together"""
    seed: int = 0
    """what they are drawn from"""
    only: int | None = None
    """number of one of them, to carry it out again"""
    milvus: str = ""
    """a Milvus server, http://HOST:PORT: faults on the way to it are struck beside the others"""


def run(command: Faults, words: str) -> None:
    with Phases() as show:
        found = bench_faults(command.count, command.seed, command.only, show, command.milvus)
    give(command, found, words, lambda: _text(found), lambda: faults_chart(found))
    if found["failed"]:
        first = found["failed"][0]
        raise Problem(
            f"{len(found['failed'])} of {found['total']['struck']} faults did harm, the first {first['kind']} of "
            f"{first['target']}: {first['wrong'][0]}; --count {command.count} --seed {command.seed} "
            f"--only {first['number']}{f' --milvus {command.milvus}' if command.milvus else ''} carries it out again"
        )


def _text(found: dict[str, Any]) -> str:
    rows: list[tuple[object, ...]] = [("", "", "faults", "all was well")]
    for name, of in found["counts"].items():
        kind, target = name.split(", ")
        rows.append((found["kinds"][kind], target, of["struck"], of["well"]))
    rows.append(("in all", "", found["total"]["struck"], found["total"]["well"]))
    told = "".join(f"{line}\n" for line in not_run(found))
    return f"{say.table(rows, left=2)}\n\n{told}{found['seconds']:,.0f} s, seed {found['seed']}"
