"""What one store keeps in a collection: entries of its rows and heads, and how many were written."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnemon.index.milvus_answers import Entries, Found, entries_of, found_of, value_text
from mnemon.index.milvus_connection import SEARCHES, WITHIN, Connection

BATCH = 2048  # entries of one message
PAGE = 1024  # entries of one answer
MOST = 16_384  # what Milvus gives at most
# A read waits until all that this process has written is there. That another one wrote before is made sure of by the
# first read, of the counts, which is "Strong": each such read waits for the next tick of the server's clock.
AFTER_OURS = "Session"
FORGETTING = "forget-"  # and the row: positions that are to be deleted from all its heads
AT_ONCE = 8  # searches that a server is asked for at the same time


@dataclass(frozen=True)
class Search:
    """The best `k` of a row's and head's entries from `first` to `behind` (not included) below a position."""

    row: int
    head: int
    queries: np.ndarray
    k: int
    first: int
    behind: int
    below: int | None


@dataclass(frozen=True)
class Tenant:
    """The entries in `collection` that belong to the store `name`, each row and head a namespace of its own."""

    connection: Connection
    collection: str
    name: str
    dim: int
    slots: int
    index: str

    def records(
        self, row: int, entries: Sequence[int], keys: np.ndarray, values: np.ndarray, positions: np.ndarray
    ) -> list[dict[str, Any]]:
        """Records of keys [h n d], values [h n d] and positions [n] as a row's entries of those numbers.

        The name of an entry follows from its slot, so that writing it twice writes it once, and it takes the place of
        the one that stood there.
        """
        return [
            {
                "id": f"{self._of(row, head)}/{entry % self.slots}",
                "tenant": self._of(row, head),
                "entry": entry,
                "pos": int(positions[j]),
                "k": keys[head, j],
                "v": value_text(values[head, j]),
            }
            for head in range(len(keys))
            for j, entry in enumerate(entries)
        ]

    def counts(self, name: str, first: int, second: int) -> dict[str, Any]:
        """A record of two whole numbers under a name."""
        return {
            "id": f"{self.name}/{name}",
            "tenant": self.name,
            "entry": first,
            "pos": second,
            "k": [0.0] * self.dim,
            "v": "",
        }

    def write(self, records: Sequence[dict[str, Any]], new: bool = False) -> None:
        """Have these records stand under their names, whatever stood there; `new`: nothing did."""
        for start in range(0, len(records), BATCH):
            part = list(records[start : start + BATCH])
            self.connection.ask(Put(self.collection, part, new))

    def read_counts(self) -> dict[str, tuple[int, int]]:
        """All records of two numbers, by name."""
        asked = {"filter": f'tenant == "{self.name}"', "output_fields": ["id", "entry", "pos"], "limit": MOST}
        found = self._query(asked, "Strong")
        return {each["id"].removeprefix(f"{self.name}/"): (each["entry"], each["pos"]) for each in found}

    def search(self, searches: Sequence[Search]) -> list[list[Found]]:
        """What each search finds for each of its queries, best first: all of them are sent at once to a server."""
        if self.connection.local or len(searches) == 1:
            return [self._search(each) for each in searches]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._search, searches))

    def _search(self, said: Search) -> list[Found]:
        below = "" if said.below is None else f" && pos < {said.below}"
        answers = self.connection.ask(
            lambda client: client.search(
                self.collection,
                data=list(said.queries),
                anns_field="k",
                limit=said.k,
                filter=self._between(said.row, said.head, said.first, said.behind) + below,
                output_fields=["pos", "k", "v"],
                search_params={"metric_type": "IP", "params": SEARCHES[self.index]},
                consistency_level=AFTER_OURS,
                timeout=WITHIN,
            )
        )
        return found_of(answers, self.dim)

    def entries(self, row: int, head: int, first: int, behind: int) -> Iterator[Entries]:
        """All entries of a row and head in that range, page by page."""
        for start in range(first, behind, PAGE):
            asked = {
                "filter": self._between(row, head, start, min(start + PAGE, behind)),
                "output_fields": ["entry", "pos", "k", "v"],
                "limit": PAGE,
            }
            yield entries_of(self._query(asked), self.dim)

    def forget(self, row: int, heads: int, positions: tuple[int, int] | None = None) -> None:
        """Delete what a row holds, or what it holds of the positions from the first to the second (not included)."""
        only = "" if positions is None else f" && pos >= {positions[0]} && pos < {positions[1]}"
        for head in range(heads):
            self._delete(f'tenant == "{self._of(row, head)}"{only}')

    def forget_whole(self, row: int, heads: int, first: int, behind: int) -> None:
        """Delete a row's entries at those positions from all heads, though this process be killed before the last.

        What is to go is written down first, and done when the store is opened if it was not.
        """
        name = f"{FORGETTING}{row}"
        self.write([self.counts(name, first, behind)])
        self.forget(row, heads, (first, behind))
        self._drop(f"{self.name}/{name}")

    def finish(self, counts: Mapping[str, tuple[int, int]], heads: int) -> None:
        """Do what a killed process had begun to forget, by the records of numbers that stand."""
        for name, (first, behind) in counts.items():
            if name.startswith(FORGETTING):
                self.forget_whole(int(name.removeprefix(FORGETTING)), heads, first, behind)

    def forget_counts(self) -> None:
        """Delete the records of numbers."""
        self._delete(f'tenant == "{self.name}"')

    def of(self, name: str) -> "Tenant":
        """Another store of the same collection."""
        return replace(self, name=name)

    def marked(self, tenant: str) -> list[tuple[str, int]]:
        """Names and numbers of the records that stand in the place of this tenant."""
        asked = {"filter": f'tenant == "{tenant}"', "output_fields": ["id", "entry"], "limit": MOST}
        return [(each["id"], each["entry"]) for each in self._query(asked)]

    def remove(self, rows: int, heads: int, mark: str) -> None:
        """Delete the store: its entries, its counts, and at last the record of that name."""
        for row in range(rows):
            self.forget(row, heads)
        self.forget_counts()
        self._drop(mark)

    def _drop(self, name: str) -> None:
        self.connection.ask(lambda client: client.delete(self.collection, ids=[name], timeout=WITHIN))

    def _delete(self, what: str) -> None:
        self.connection.ask(lambda client: client.delete(self.collection, filter=what, timeout=WITHIN))

    def _query(self, asked: dict[str, Any], level: str = AFTER_OURS) -> list[dict[str, Any]]:
        return list(
            self.connection.ask(
                lambda client: client.query(self.collection, consistency_level=level, timeout=WITHIN, **asked)
            )
        )

    def _of(self, row: int, head: int) -> str:
        return f"{self.name}/{row}/{head}"

    def _between(self, row: int, head: int, first: int, behind: int) -> str:
        return f'tenant == "{self._of(row, head)}" && entry >= {first} && entry < {behind}'


class Put:
    """Have records stand in a collection; what stood under their names goes, unless it is the first try and `new`.

    In two steps: `upsert` of Milvus 2.3 loses entries of a collection with a partition key.
    """

    def __init__(self, collection: str, records: list[dict[str, Any]], new: bool) -> None:
        self.collection, self.records, self.new = collection, records, new

    def __call__(self, client: Any) -> None:
        new, self.new = self.new, False  # asked again, some may be there: the answer was lost
        if not new:
            client.delete(self.collection, ids=[each["id"] for each in self.records], timeout=WITHIN)
        client.insert(self.collection, self.records, timeout=WITHIN)
