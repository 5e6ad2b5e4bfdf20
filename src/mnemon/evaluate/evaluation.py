from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from mnemon.config import Problem
from mnemon.data import Document, Tokenizer
from mnemon.evaluate.metrics import METRICS
from mnemon.evaluate.reading import Reader, prepared, scored
from mnemon.evaluate.scored import Scored
from mnemon.model import Precision

SIZES = (0, 512, 2048, 8192)
MemorySource = Literal["own", "other", "shuffled"]


@dataclass(frozen=True)
class Result:
    """One memory size: the metrics over all documents, and what each document's tokens cost."""

    metrics: dict[str, Any]
    documents: tuple[Scored, ...]


@dataclass(frozen=True)
class Evaluation:
    """Results by memory size; `tokens` predicted and `bytes` of their text are the same for each."""

    memory: dict[int, Result]
    tokens: int
    bytes: int

    def as_json(self) -> dict[str, Any]:
        """Metrics by memory size, `tokens` and `bytes`."""
        memory = {str(size): result.metrics for size, result in self.memory.items()}
        return {"memory": memory, "tokens": self.tokens, "bytes": self.bytes}


def evaluate(  # noqa: PLR0913  # three things to read, five ways to read them, and progress
    model: nn.Module,
    documents: Sequence[Document],
    tokenizer: Tokenizer,
    memory: Sequence[int] | None = None,
    rows: int = 8,
    precision: Precision = "float32",
    max_tokens: int | None = None,
    memory_source: MemorySource = "own",
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """What the model makes of documents that it reads from beginning to end, for each memory size.

    Each document starts from nothing; states are fresh, so training memory is neither read nor touched. `memory`:
    entries of the kNN store, 0 for none; None takes 0, 512, 2048 and 8192, or 0 alone where the model has no such
    memory. `rows` documents are read side by side, which changes nothing but speed; only a stream document is cut into
    `rows` parts. `max_tokens`: read only so many of each document. `memory_source="other"` is a control: each document
    is read with the memory that another one filled; `"shuffled"`: with its own, each value paired with some other
    entry's key. `on_progress(done, total)` counts tokens over all sizes.
    """
    sizes = memory_sizes(model, memory)
    if rows < 1 or (max_tokens is not None and max_tokens < 1):
        raise Problem(f"rows {rows} and max_tokens {max_tokens} must be at least 1")
    texts = prepared(documents, tokenizer, max_tokens)
    total = len(sizes) * sum(len(text.ids) - (tokenizer.start is None) for text in texts)
    done = 0

    def count(tokens: int) -> None:
        nonlocal done
        done += tokens
        if on_progress is not None:
            on_progress(done, total)

    training = model.training
    model.eval()
    try:
        reader = Reader(model, tokenizer, rows, precision, count)
        read = {"own": reader.own, "other": reader.other, "shuffled": reader.shuffled}[memory_source]
        results = {}
        for size in sizes:
            found = tuple(scored(*each, tokenizer.eos) for each in zip(texts, read(texts, size), strict=True))
            results[size] = Result({name: metric(found) for name, metric in METRICS.items()}, found)
    finally:
        model.train(training)
    return Evaluation(results, sum(len(each.nats) for each in found), sum(each.total_bytes for each in found))


def memory_sizes(model: Any, memory: Sequence[int] | None = None) -> list[int]:
    """The memory sizes to evaluate; a `Problem` for one that the model cannot have, or whose place is away."""
    remembers = model.init_state(1, 0).remembers
    sizes = list(dict.fromkeys((SIZES if remembers else (0,)) if memory is None else memory))
    if not sizes:
        raise Problem("no memory size given; 0 evaluates without memory")
    for size in sizes:
        if size and not remembers:
            raise Problem(f"memory {size}: this model has no kNN memory; evaluate it with memory 0")
        model.init_state(1, size)
    return sizes
