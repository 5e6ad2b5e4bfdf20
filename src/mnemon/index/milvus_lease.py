"""Which scratch stores of a collection are still somebody's: their processes may be killed before they remove them."""

import contextlib
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from mnemon.config import Problem
from mnemon.index.milvus_tenant import Tenant

LEASES = "leases"  # in the place of a tenant, of the records that tell whose scratch stores there are
RENEWED = 3600.0  # seconds after which a store that is in use says so again
AWAY = 2.0  # seconds that a store which is no more needed waits for a server to forget it
ABANDONED = 7 * 24 * 3600.0  # seconds without that after which nobody uses it


@dataclass
class Lease:
    """Says in the collection that a scratch store is somebody's, and since when: renewed while it is used."""

    tenant: Tenant
    rows: int
    heads: int
    renewed: float = 0.0

    @property
    def name(self) -> str:
        """The name of its record: all that is needed to remove the store."""
        return f"lease/{self.tenant.name}/{self.rows}/{self.heads}/{this_process()}"

    def renew(self) -> None:
        """Say that the store is in use, if that was said long ago; a `Problem` if it was taken for abandoned."""
        now = time.time()
        if now - self.renewed < RENEWED:
            return
        if self.renewed and now - self.renewed > ABANDONED / 2 and not self._there():
            raise Problem(
                f"milvus {self.tenant.connection.uri}: the memory was not used for {(now - self.renewed) / 86400:.0f} "
                "days and was removed as abandoned; read its documents again"
            )
        about = {"id": self.name, "tenant": LEASES, "entry": int(now), "pos": 0, "k": [0.0] * self.tenant.dim, "v": ""}
        self.tenant.write([about])
        self.renewed = now

    def end(self) -> None:
        """Remove the store, which is needed no more; a server that is away keeps it until it is swept."""
        with contextlib.suppress(Problem, RuntimeError):
            brief = replace(self.tenant, connection=self.tenant.connection.brief(AWAY))
            brief.remove(self.rows, self.heads, self.name)

    def _there(self) -> bool:
        return any(name == self.name for name, _ in self.tenant.marked(LEASES))


def abandoned(local: bool, process: str, said: int, now: float) -> bool:
    """Whether nobody uses a store any more whose process said at a time that it did.

    A local file is open in one process at a time, so that all of another one's are. Of a server's users nothing but the
    time is known: clocks may differ by days.
    """
    return now - said > ABANDONED or (local and process != this_process())


def swept(tenant: Tenant) -> list[str]:
    """Remove the abandoned scratch stores of a collection; their names."""
    gone, now = [], time.time()
    for record, said in tenant.marked(LEASES):
        _, name, rows, heads, process = record.split("/")
        if abandoned(tenant.connection.local, process, said, now):
            tenant.of(name).remove(int(rows), int(heads), record)  # its lease goes last: a sweep may be cut short
            gone.append(name)
    return gone


def this_process() -> str:
    """A name that no other process on this machine has had."""
    try:
        begun = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:  # no such folder
        begun = ""
    return f"{os.getpid()}.{begun}"
