"""Faults by the hundred, drawn from one seed, and what came of them."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnemon.config import Problem
from mnemon.index.milvus_connection import Connection
from mnemon.report import Chart
from mnemon.studies.faults.kit import Kit
from mnemon.studies.faults.plan import SAYS, pairs, plan
from mnemon.studies.machine import machine
from mnemon.studies.pages import Record, row
from mnemon.studies.workers import Progress

COUNT = 360
MEANS = (
    "All was well: every step that was acknowledged is there to the last bit, what was forgotten is not, and there is "
    "nothing that is not of the act; the next writer gets in, and its folder checks whole. A training goes on to the "
    "losses and gradient norms that it has without the fault, to the last bit. Damage is told with its file, or has "
    "changed nothing; other documents, and the checkpoint before, stay whole. A full disk ends in one line, status 2. "
    "A store holds what its last acknowledged step left, or the next one, each entry once, with its very key and "
    "value, and goes on from there; a writer gets over what happens on the way to its server."
)


def bench_faults(
    count: int = COUNT,
    seed: int = 0,
    only: int | None = None,
    progress: Progress = lambda *_: None,
    milvus: str = "",
) -> dict[str, Any]:
    """Carry out a plan of faults, or one of them, and count by kind: how many struck, and after how many all was well.

    `milvus`: address of a server; faults on the way to it are then carried out as well.
    Every fault is drawn from the seed and its number, so that one that failed can be carried out again.
    """
    faults = plan(max(count, 0), seed, bool(milvus))
    if count < 1 or (only is not None and not 0 <= only < len(faults)):
        raise Problem(f"{count} faults, only {only}: at least 1 fault, and the number of one of them")
    if milvus:
        Connection(milvus).close()  # that none is there is said at once
    chosen = faults if only is None else [faults[only]]
    log: list[dict[str, Any]] = []
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        kit = Kit(Path(place), milvus)
        for done, fault in enumerate(chosen):
            progress("faults", done, len(chosen), f"{fault.kind}, {fault.target}")
            outcome = kit.carry_out(fault)
            about = {"number": fault.number, "kind": fault.kind, "target": fault.target}
            log.append({**about, "struck": outcome.struck, "wrong": list(outcome.wrong)})
        progress("faults", len(chosen), len(chosen), "")
    counts = {
        f"{kind}, {target}": {"struck": len(of), "well": sum(not each["wrong"] for each in of)}
        for kind, target in pairs()
        if (of := [each for each in log if (each["kind"], each["target"]) == (kind, target) and each["struck"]])
    }
    total = {key: sum(each[key] for each in counts.values()) for key in ("struck", "well")}
    failed = [each for each in log if each["wrong"]]
    about = {"count": len(faults), "seed": seed, "server": bool(milvus), "seconds": time.perf_counter() - begun}
    found = {"kinds": SAYS, "counts": counts, "total": total, "failed": failed, "faults": log}
    return {"format": 1, "benchmark": "faults", **about, **found, "environment": machine()}


def faults_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress, milvus: str) -> Record:
    """`bench_faults` as a table of `reproduce`: nothing is trained for it, so folder, time and seeds are unused.

    `milvus`: a server, struck where one answers.
    """
    try:
        Connection(milvus).close()
    except Problem:
        milvus = ""
    return bench_faults(progress=progress, milvus=milvus)


def not_run(record: Record) -> list[str]:
    """What was left out for want of a server."""
    if record.get("server"):
        return []
    return [
        "Not run, for want of a server: faults on the way to a Milvus server; "
        "`mnemon bench faults --milvus http://HOST:PORT` runs them."
    ]


def faults_lines(record: Record) -> list[str]:
    """How many faults struck what, and after how many all was well."""
    lines = [row(["what struck", "what was struck", "faults", "all was well"]), row(["---"] * 4)]
    for name, of in record["counts"].items():
        kind, target = name.split(", ")
        lines.append(row([record["kinds"][kind], target, str(of["struck"]), str(of["well"])]))
    total = record["total"]
    lines += [row(["", "in all", str(total["struck"]), str(total["well"])]), ""]
    lines += [MEANS, "", *(line for said in not_run(record) for line in (said, "")), "How it was made:", ""]
    lines.append(
        f"- {record['count']} faults drawn with seed {record['seed']}, in {record['seconds']:,.0f} s; those that came "
        "when the act was over already are not counted."
    )
    return [*lines, *(f"- Fault {each['number']} failed: {'; '.join(each['wrong'])}." for each in record["failed"])]


def faults_chart(found: Record) -> Chart:
    """Faults of each kind."""
    counted: dict[str, float] = {}
    for name, of in found["counts"].items():
        kind = found["kinds"][name.split(", ")[0]]
        counted[kind] = counted.get(kind, 0) + of["well"]
    shown = {kind: {"median": count, "low": count, "high": count} for kind, count in counted.items()}
    return Chart.by_name("Faults after which all was well", "faults", shown)
