"""Which entries a full row gives up: one function a policy."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Held:
    """The entries that a row holds, in any order: what is known of each.

    `entry` counts what the row wrote, `document` is the position of the first token of its document, `age` the writes
    since it was written, `unused` those since it was last found, `attention` the weights it was given, summed over
    heads and queries.
    """

    entry: Int[Tensor, " n"]
    document: Int[Tensor, " n"]
    age: Int[Tensor, " n"]
    unused: Int[Tensor, " n"]
    attention: Float[Tensor, " n"]


# Places of the entries to give up, at least so many.
Policy = Callable[[Held, int], Int[Tensor, " e"]]


def oldest(held: Held, need: int) -> Int[Tensor, " e"]:
    """First in, first out, as in arXiv 2203.08913."""
    return held.entry.argsort()[:need]


def least_recently_found(held: Held, need: int) -> Int[Tensor, " e"]:
    """Those that no search gave for longest; of equals the older."""
    order = held.entry.argsort()
    return order[held.unused[order].argsort(descending=True, stable=True)][:need]


def least_attended(held: Held, need: int) -> Int[Tensor, " e"]:
    """Those with the least attention a write, (1 + attention) / (1 + age): the 1 gives a new entry its chance."""
    order = held.entry.argsort()
    rate = (1 + held.attention) / (1 + held.age)
    return order[rate[order].argsort(stable=True)][:need]


def oldest_document(held: Held, need: int) -> Int[Tensor, " e"]:
    """Whole documents, the oldest first; of the newest one, its oldest entries."""
    order = held.entry.argsort()
    gone = order[:need]
    partly = held.document[gone[-1]]
    newest = held.document[order[-1]]
    if partly == newest:
        return gone
    return order[: int((held.document[order] == partly).nonzero().max()) + 1]


POLICIES: dict[str, Policy] = {
    "fifo": oldest,
    "lru": least_recently_found,
    "attention": least_attended,
    "document": oldest_document,
}
