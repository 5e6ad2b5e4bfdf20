"""The way to a Milvus: a local file (milvus-lite), a server or a cluster, all through one client."""

import contextlib
import copy
import importlib
import json
import logging
import re
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlparse

from mnemon.config import Problem
from mnemon.index.milvus_answers import text_length

Answer = TypeVar("Answer")

FORMAT = 2
ABOUT = "about"  # the record that tells whose entries a collection holds, in the place of its tenant
PATIENCE = 60.0  # seconds for which a server may be away, in the middle of what is asked of it
FIRST, LONGEST = 0.1, 5.0  # seconds between two tries: doubled from the first to the longest
WITHIN = 30.0  # seconds for one answer
FINDING = 5.0  # seconds in which a server must say that it is there
NEAR = (
    10.0  # seconds for which a local file may not answer: its server, in this process, may just be starting or ending
)
REFUSED = "[Errno "  # in what milvus-lite says where the system does not let it write
# milvus-lite turns away a client that asks more often than every few minutes whether it is still there.
UNASKED = {"grpc.keepalive_time_ms": (1 << 31) - 1}
PARTITIONS = 16  # that tenants are spread over
NAME_LENGTH = 256

INDEXES: dict[str, dict[str, Any]] = {
    "flat": {"index_type": "FLAT", "params": {}},
    "hnsw": {"index_type": "HNSW", "params": {"M": 32, "efConstruction": 200}},
    "ivf": {"index_type": "IVF_FLAT", "params": {"nlist": 256}},
}
SEARCHES: dict[str, dict[str, int]] = {"flat": {}, "hnsw": {"ef": 128}, "ivf": {"nprobe": 32}}


class Connection:
    """One Milvus. What is asked is asked again while a server is away; everything asked is safe to repeat."""

    def __init__(self, uri: str, patience: float = PATIENCE):
        self._milvus = pymilvus()
        self.uri, self.local = uri, "://" not in uri
        self.patience = min(patience, NEAR) if self.local else patience
        if self.local:
            _check_file(Path(uri))
        begun = time.monotonic()
        while True:
            try:
                self._client = self._open()
                return
            except (self._milvus.MilvusException, ValueError) as error:
                if not self.local or time.monotonic() - begun > self.patience:
                    raise self._absent(error) from None
                time.sleep(FIRST)

    def _open(self) -> Any:
        if self.local:
            client = self._milvus.MilvusClient(self.uri, timeout=WITHIN, grpc_options=UNASKED)
        else:
            client = self._milvus.MilvusClient(self.uri, timeout=FINDING)
        client.get_server_version(timeout=FINDING)  # a client that was made before may be given again
        return client

    def ask(self, act: Callable[[Any], Answer]) -> Answer:
        """What `act(client)` answers, tried again with growing pauses while the server is away."""
        begun, pause = time.monotonic(), FIRST
        while True:
            try:
                return act(self._client)
            except self._milvus.MilvusException as error:
                if self.local and REFUSED in str(error.message):
                    self._afresh()
                    raise Problem(f"milvus {self.uri}: {error.message}; what it confirmed before is kept") from None
                if time.monotonic() - begun + pause > self.patience:
                    raise Problem(
                        f"milvus {self.uri}: {error.message or error}; what it confirmed before is kept"
                    ) from None
                time.sleep(pause)
                pause = min(2 * pause, LONGEST)

    def close(self) -> None:
        """Let other processes open a local file; whoever else uses it in this one loses it, too."""
        self._client.close()
        if self.local:
            lite = importlib.import_module("milvus_lite.server_manager")
            lite.server_manager_instance.release_server(self.uri)

    def _afresh(self) -> None:
        """Open a local file again that could not be written: milvus-lite would go on behind what was cut short there,
        and when it is opened again find nothing of that.
        """
        self.close()
        with contextlib.suppress(self._milvus.MilvusException, ValueError):
            self._client = self._open()

    def brief(self, patience: float) -> "Connection":
        """The same, with less patience."""
        twin = copy.copy(self)
        twin.patience = patience
        return twin

    def collection(self, name: str, dim: int, index: str, fingerprint: str) -> None:
        """Have a collection for keys of size `dim`, made here or found; a `Problem` where it is another model's."""
        if not self.ask(lambda client: client.has_collection(name, timeout=WITHIN)):
            self.ask(lambda client: self._make(client, name, dim, index))
        if not self._check_collection(name, dim, index, fingerprint):
            said = json.dumps([FORMAT, dim, fingerprint])
            about = {"id": ABOUT, "tenant": said, "entry": 0, "pos": 0, "k": [0.0] * dim, "v": ""}
            self.ask(lambda client: client.insert(name, [about], timeout=WITHIN))

    def look(self, name: str, dim: int, index: str, fingerprint: str) -> bool:
        """Whether a collection is there; a `Problem` where it is another model's."""
        if not self.ask(lambda client: client.has_collection(name, timeout=WITHIN)):
            return False
        self._check_collection(name, dim, index, fingerprint)
        return True

    def _check_collection(self, name: str, dim: int, index: str, fingerprint: str) -> bool:
        """Whether it says whose it is; not yet, where it was just made, or its maker was killed."""
        foreign = Problem(f"milvus {self.uri}: collection {name} is none of ours; give another name: collection=NAME")
        fields = self.ask(lambda client: client.describe_collection(name, timeout=WITHIN))["fields"]
        if not {"id", "tenant", "entry", "pos", "k", "v"} <= {field["name"] for field in fields}:
            raise foreign
        self._check_index(name, index)
        self.ask(lambda client: client.load_collection(name, timeout=WITHIN))
        asked = {"filter": f'id == "{ABOUT}"', "output_fields": ["tenant"], "consistency_level": "Strong"}
        said = self.ask(lambda client: client.query(name, timeout=WITHIN, **asked))
        if not said:
            return False
        try:
            version, size, whose = json.loads(said[0]["tenant"])
        except ValueError:
            raise foreign from None
        if version != FORMAT:
            raise Problem(f"milvus {self.uri}: collection {name} has format {version}, this version reads {FORMAT}")
        if (size, whose) != (dim, fingerprint):
            raise Problem(
                f"milvus {self.uri}: collection {name} was filled by another model: its heads have size {size} and its "
                f"fingerprint is {whose!r}, here they are {dim} and {fingerprint!r}; give another name: collection=NAME"
            )
        return True

    def _check_index(self, name: str, index: str) -> None:
        """What a search asks of an index that is another one, Milvus leaves out silently."""
        kinds = {each["index_type"]: said for said, each in INDEXES.items()}
        for made in self.ask(lambda client: client.list_indexes(name, field_name="k")):
            about = self.ask(partial(_described, name, made))
            there = kinds.get(about["index_type"], about["index_type"])
            if there != index:
                raise Problem(
                    f"milvus {self.uri}: collection {name} has the index {there!r}, here it is {index!r}; say "
                    f"index={there}, or give another name: collection=NAME"
                )

    def _make(self, client: Any, name: str, dim: int, index: str) -> None:
        kinds = self._milvus.DataType
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", kinds.VARCHAR, max_length=NAME_LENGTH, is_primary=True)
        schema.add_field("tenant", kinds.VARCHAR, max_length=NAME_LENGTH, is_partition_key=True)
        schema.add_field("entry", kinds.INT64)
        schema.add_field("pos", kinds.INT64)
        schema.add_field("k", kinds.FLOAT_VECTOR, dim=dim)
        schema.add_field("v", kinds.VARCHAR, max_length=text_length(dim))
        params = client.prepare_index_params()
        params.add_index("k", metric_type="IP", **INDEXES[index])
        client.create_collection(
            name, schema=schema, index_params=params, consistency_level="Strong", num_partitions=PARTITIONS
        )

    def _absent(self, error: Exception) -> Problem:
        if self.local:
            return Problem(f"milvus {self.uri}: the file cannot be opened ({error})")
        where = urlparse(self.uri)
        found = "a server answers there that is no Milvus, or one that refuses us"
        try:
            socket.create_connection((where.hostname or "", where.port or 19530), timeout=5).close()
        except OSError as reason:
            found = f"nothing answers there ({reason.strerror or reason})"
        return Problem(
            f"milvus {self.uri}: {found}; start one (docker compose -f deploy/compose.yaml up), or give a file name "
            "instead, such as uri=memory.db"
        )


def pymilvus() -> Any:
    """The client's package, imported when it is asked for: it takes half a second."""
    try:
        found = importlib.import_module("pymilvus")
    except ImportError:
        raise Problem("a memory in Milvus needs its client: pip install 'mnemon[milvus]'") from None
    for name in ("pymilvus", "milvus_lite"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they write a traceback for every try that we repeat
    return found


def check_collection_name(name: str) -> None:
    """A `Problem` where Milvus takes no collection of that name."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,199}", name):
        raise Problem(
            f"index milvus: {name!r} is no name of a collection: letters, digits and _, no digit first, at most 200"
        )


def check_store_name(name: str) -> None:
    """A `Problem` where a name could stand for more than one store in what is asked of Milvus."""
    if not re.fullmatch(r"[A-Za-z0-9 ._-]{1,128}", name):
        raise Problem(f"milvus: {name!r} is no name of a store: letters, digits, spaces, ., - and _, at most 128")


def _described(collection: str, index: str, client: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.describe_index(collection, index, timeout=WITHIN)
    return found


def _check_file(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise Problem(f"milvus {path}: there is no folder {path.parent}; make it first")
    if path.suffix != ".db":
        raise Problem(f"milvus {path}: a local file must end in .db, a server is http://HOST:19530")
    if path.is_file():
        raise Problem(f"milvus {path}: this is a file where milvus-lite 3 has a folder; give another name")
