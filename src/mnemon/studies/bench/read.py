"""What it costs to read a document: to remember it only, or to predict each token with the memory as well."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mnemon.config import Problem
from mnemon.model import MemoryState, Transformer
from mnemon.report import Chart
from mnemon.studies.bench.standing import full_state, remembering_model, tokens
from mnemon.studies.bench.turns import one_thread, ratios, spreads, take_turns
from mnemon.studies.machine import machine
from mnemon.studies.pages import Record, row
from mnemon.studies.workers import Progress

PLAIN, REMEMBER, ALONG = "no memory", "only remembered", "read with the memory"


@dataclass(frozen=True)
class Plan:
    """What is measured: whole segments of a recipe's model, with each memory size, in `rounds` of `segments`."""

    recipe: str = "memorizing-200m"
    sizes: Sequence[int] = (8192, 65_536, 262_144)
    index: str = "exact"
    segments: int = 1
    rounds: int = 5
    dtype: str = "float32"


def bench_read(plan: Plan | None = None, progress: Progress = lambda *_: None) -> Record:
    """Tokens a second, without gradients: of the model without a memory, and with a full one that is written.

    A document that is only to be remembered passes no layer above the memory and is not searched for; one whose tokens
    are predicted (evaluation, the prompt of a text) asks the memory at each token. All take turns, on one thread.
    """
    plan = plan or Plan()
    if not plan.sizes or min(plan.segments, plan.rounds) < 1:
        raise Problem(f"{plan.rounds} rounds of {plan.segments} segments: at least one of each, and one size")
    with one_thread(), torch.no_grad():
        model = remembering_model(plan.recipe, getattr(torch, plan.dtype))
        length = model.config.segment
        rows = [measure(plan, model, size, progress) for size in plan.sizes]
    knn = model.config.pools.knn
    assert knn is not None
    about = {"layers": model.config.n_layers, "memory_layers": list(knn.layers), "tokens": plan.segments * length}
    return {"format": 1, "benchmark": "read", **asdict(plan), **about, "rows": rows, "environment": machine()}


def measure(plan: Plan, model: Transformer, size: int, progress: Progress) -> Record:
    """All contenders at one size."""
    fed = partial(tokens, model, torch.Generator().manual_seed(0), 1, model.config.segment)
    sizes = {PLAIN: 0, REMEMBER: size, ALONG: size}
    states = {name: full_state(model, each, plan.index) for name, each in sizes.items()}
    acts: dict[str, Callable[[], None]] = {
        name: partial(_remember if name == REMEMBER else _read, model, state, fed, plan.segments)
        for name, state in states.items()
    }
    took = take_turns(acts, plan.rounds, lambda _, done, total, said: progress(f"{size:,}", done, total, said))
    count = plan.segments * model.config.segment
    return {
        "size": size,
        "tokens_per_second": spreads({name: [count / value for value in of] for name, of in took.items()}),
        # Rates: the longer the one without takes, the faster the one with.
        "ratios": ratios(took, {name: (PLAIN, name) for name in (REMEMBER, ALONG)}),
    }


def _read(model: Transformer, state: MemoryState, fed: Callable[[], Tensor], segments: int) -> None:
    for _ in range(segments):
        state.commit(model(fed(), state)[1])


def _remember(model: Transformer, state: MemoryState, fed: Callable[[], Tensor], segments: int) -> None:
    for _ in range(segments):
        state.commit(model.remember(fed(), state))


def read_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """`bench_read` as a table of `reproduce`: nothing is trained, so folder, time and seeds make no difference."""
    return bench_read(progress=progress)


def read_lines(record: Record) -> list[str]:
    """Tokens a second by memory, and how they compare with those of the model without one."""
    head = [
        "entries",
        "no memory, tokens/s",
        "only remembered, tokens/s",
        "to no memory",
        "read with the memory, tokens/s",
    ]
    lines = [row([*head, "to no memory"]), row(["---"] * 6)]
    for of in record["rows"]:
        speed = {name: f"{each['median']:,.0f}" for name, each in of["tokens_per_second"].items()}
        ratio = {name: f"{each['median']:.2f}" for name, each in of["ratios"].items()}
        lines.append(
            row([f"{of['size']:,}", speed[PLAIN], speed[REMEMBER], ratio[REMEMBER], speed[ALONG], ratio[ALONG]])
        )
    above = record["layers"] - 1 - max(record["memory_layers"])
    about = f"`{record['recipe']}`, {record['layers']} layers, {above} of them above the memory, {record['dtype']}"
    turns = f"{record['rounds']} rounds of {record['tokens']:,} tokens, without gradients"
    lines += ["", "How it was made:", "", f"- {about}; one thread, processor time, medians of {turns}, taken in turns."]
    return [
        *lines,
        "- Only remembered: `Generator.remember`, which needs no layer above the memory and no search. Read with the "
        "memory: evaluation, or the prompt of a text, where every token asks the memory.",
    ]


def read_chart(found: Record) -> Chart:
    """Tokens a second by entries."""
    took = {
        name: {of["size"]: of["tokens_per_second"][name] for of in found["rows"]} for name in (PLAIN, REMEMBER, ALONG)
    }
    return Chart.by_size("Reading without gradients", "tokens a second on one thread", "entries", took)
