from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mnemon.config import Problem
from mnemon.model import ModelConfig
from mnemon.recipes import recipe
from mnemon.studies.bench.counts import counting
from mnemon.studies.bench.turns import seconds, spread
from mnemon.studies.machine import machine
from mnemon.studies.pages import Record, row
from mnemon.studies.workers import Progress

SPANS = (0, 256, 1024, 4096, 8192)
VOCABULARY = 1024  # where the recipe leaves it to the texts


@dataclass(frozen=True)
class Plan:
    """What is measured: a model whose heads all have one span after another, and once a single long head."""

    model: ModelConfig
    spans: Sequence[int]
    lanes: int
    rounds: int


def bench_span(
    name: str = "all-attention",
    spans: Sequence[int] = SPANS,
    layers: int = 1,
    lanes: int = 1,
    rounds: int = 5,
    progress: Progress = lambda *_: None,
) -> Record:
    """What a step costs against the attention span: floating point operations, bytes of the cache, and processor time.

    A step is forward and backward of one segment of random tokens behind a full cache. Keys, values, positions and the
    cache are trimmed to the longest span of a layer, so the last row, in which a single head is as long as all heads
    of a row before, costs as much as that.
    """
    config = recipe(name).model.replace(n_layers=layers)
    config = config.replace(vocab_size=config.vocab_size or VOCABULARY)
    if config.attention.span is None or config.pools.cache is None:
        raise Problem(f"{name}: has no adaptive span over a cache to measure")
    limit = config.attention.span.limit
    if not spans or min(spans) < 0 or max(spans) > limit:
        raise Problem(f"spans {', '.join(map(str, spans)) or 'none'}: give some from 0 to {limit}, the limit of {name}")
    if min(layers, lanes, rounds) < 1:
        raise Problem(f"{layers} layers, {lanes} lanes, {rounds} rounds: at least one of each")
    rows = measure(Plan(config, spans, lanes, rounds), progress)
    about = {"recipe": name, "layers": layers, "lanes": lanes, "rounds": rounds, "tokens": lanes * config.segment}
    return {"format": 1, "benchmark": "span", **about, "limit": limit, "rows": rows, "environment": machine()}


def measure(plan: Plan, progress: Progress) -> list[dict[str, Any]]:
    """All rows, in this process; the models take turns round by round."""
    one = sorted(plan.spans)[-2] if len(plan.spans) > 1 else plan.spans[0]
    readers = [Reader(plan, span, alone) for span, alone in [*((each, False) for each in plan.spans), (one, True)]]
    rows = [reader.row() for reader in readers]
    times: list[list[float]] = [[] for _ in readers]
    for done in range(1, plan.rounds + 1):
        for reader, took in zip(readers, times, strict=True):
            took.append(reader.seconds())
        progress("rounds", done, plan.rounds, "")
    for found, took in zip(rows, times, strict=True):
        found["seconds"] = spread(took)
    return rows


class Reader:
    """A model in the middle of a long text. `alone`: the first head of each layer has the span, the others none."""

    def __init__(self, plan: Plan, span: int, alone: bool):
        self.span, self.alone = span, alone
        self.model = plan.model.build().train()
        self.draw, self.shape = torch.Generator().manual_seed(0), (plan.lanes, plan.model.segment)
        self.limit = self.model.layers[0].attention.window
        with torch.no_grad():
            for block in self.model.layers:
                assert block.attention.span is not None
                block.attention.span.ratio[: 1 if alone else None] = span / block.attention.span.limit
            self.state = self.model.init_state(plan.lanes)
            for _ in range(-(-self.limit // plan.model.segment)):
                self.state.commit(self.model(self.tokens(), self.state)[1])

    def tokens(self) -> torch.Tensor:
        """A segment of random tokens for each lane."""
        return torch.randint(self.model.config.vocab_size, self.shape, generator=self.draw)

    def step(self, tokens: torch.Tensor) -> None:
        """Forward and backward, which leave the state as it is."""
        output, _ = self.model(tokens, self.state)
        head: Any = self.model.head
        (head.nll(output.hidden, tokens).mean() + output.penalty).backward()
        self.model.zero_grad()

    def seconds(self) -> float:
        """Processor time of a step, in which other programs have no part."""
        tokens = self.tokens()
        return seconds(lambda: self.step(tokens))

    def row(self) -> dict[str, Any]:
        """What does not depend on the machine: operations of a step, and bytes and tokens of the cache."""
        with counting() as counted:
            self.step(self.tokens())
        cached = [tensor for name, tensor in self.state.tensors().items() if ".cache." in name and tensor.ndim > 1]
        spans = [block.attention.span for block in self.model.layers]
        return {
            "span": self.span,
            "heads": "one" if self.alone else "all",
            "kept": max(min(span.longest(), self.limit) for span in spans if span is not None),
            "flops": counted.get_total_flops(),
            "cache_bytes": sum(tensor.numel() * tensor.element_size() for tensor in cached),
        }


def span_table(out: Path, minutes: int, seeds: Sequence[int], progress: Progress) -> Record:
    """`bench_span` as a table of `reproduce`: nothing is trained, so folder, time and seeds make no difference."""
    return bench_span(rounds=2, progress=progress)


def span_lines(record: Record) -> list[str]:
    """Each span with its costs, and how many times less they are than at the longest."""
    head = ["span", "heads", "tokens kept", "MFLOPs a token", "cache, KiB a lane", "ms a step", "times fewer FLOPs"]
    lines = [row([*head, "times less time"]), row(["---"] * 8)]
    most, longest = (max(each(of) for of in record["rows"]) for each in (_flops, _seconds))
    for of in record["rows"]:
        costs = [
            f"{of['flops'] / record['tokens'] / 1e6:.2f}",
            f"{of['cache_bytes'] / record['lanes'] / 1024:,.0f}",
            f"{1000 * _seconds(of):,.0f}",
        ]
        saved = [f"{most / _flops(of):.1f}", f"{longest / _seconds(of):.1f}"]
        lines.append(row([f"{of['span']:,}", of["heads"], f"{of['kept']:,}", *costs, *saved]))
    about = f"`{record['recipe']}`, layers: {record['layers']}, lanes: {record['lanes']}, limit: {record['limit']:,}"
    lines += ["", "How it was made:", "", f"- {about}. Processor time of the fastest of {record['rounds']} rounds."]
    lines += [
        f"- A step is forward and backward of {record['tokens']:,} tokens behind a full cache. FLOPs are those of "
        "PyTorch's counter, which counts products of matrices; the output layer's are among them.",
        "- Tokens kept: the longest span of a layer, its ramp and 64 to grow, in steps of 64. Heads: all have the "
        "span, or one has it and the others none; a layer pays for its longest head.",
    ]
    return lines


def _flops(of: Record) -> float:
    return float(of["flops"])


def _seconds(of: Record) -> float:
    """The fastest round."""
    return float(of["seconds"]["low"])
