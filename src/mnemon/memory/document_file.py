import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mnemon.config import Problem
from mnemon.memory.contents import Entry
from mnemon.memory.document import Document
from mnemon.memory.fingerprint import Fingerprint
from mnemon.memory.precision import DTYPES, INT8, decode, encode

FORMAT = "mnemon-document 1"
LARGEST = "largest"  # of each vector, kept beside int8
NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int8: "I8",
    torch.uint8: "U8",
}
ALIGNMENT = 64
Parts = list[bytes | memoryview]


def serialised(document: Document, precision: str) -> tuple[Parts, str]:
    """A document as the bytes of a safetensors file, and their sha256: the same content gives the same bytes."""
    text = bytearray(document.text.encode("utf-8", "surrogatepass"))
    tensors = {
        "tokens": document.tokens.long(),
        "spans": document.spans.long(),
        "positions": document.positions.long(),
        "text": torch.frombuffer(text, dtype=torch.uint8) if text else torch.zeros(0, dtype=torch.uint8),
    }
    for kind, layers in (("keys", document.keys), ("values", document.values)):
        for layer, x in layers.items():
            stored, largest = encode(x.detach().cpu(), precision)
            if largest is None and not bool(stored.isfinite().all()):
                raise Problem(f"document {document.name!r}: {kind} of layer {layer} are too large for {precision}")
            tensors[f"{kind}.{layer}"] = stored
            if largest is not None:
                tensors[f"{kind}.{layer}.{LARGEST}"] = largest
    parts = _parts(tensors)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return parts, digest.hexdigest()


def _parts(tensors: Mapping[str, Tensor]) -> Parts:
    """Header and data as safetensors lays them out.

    Tensors stand in the order of what divides their bytes, 64 first: so each is aligned to its type, and keys and
    values of usual widths to 64 bytes, as fresh tensors are.
    """
    header: dict[str, Any] = {"__metadata__": {"format": FORMAT}}
    data: Parts = []
    end = 0
    for name in sorted(tensors, key=lambda name: (-math.gcd(tensors[name].nbytes, ALIGNMENT), name)):
        tensor = tensors[name]
        raw = tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data
        shape, place = list(tensor.shape), [end, end + raw.nbytes]
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": shape, "data_offsets": place}
        end += raw.nbytes
        data.append(raw)
    said = json.dumps(header, separators=(",", ":")).encode("ascii")
    said += b" " * (-(8 + len(said)) % ALIGNMENT)
    return [len(said).to_bytes(8, "little") + said, *data]


class Stored(Mapping[int, Float[Tensor, "g n d"]]):
    """Keys or values of a mapped file by layer, but the first `evicted`, brought to `dtype` when they are asked for."""

    def __init__(
        self, tensors: Mapping[str, Tensor], kind: str, layers: Sequence[int], dtype: torch.dtype, evicted: int
    ) -> None:
        self._tensors, self._kind, self._layers, self._dtype = tensors, kind, tuple(layers), dtype
        self._evicted = evicted

    def __getitem__(self, layer: int) -> Float[Tensor, "g n d"]:
        if layer not in self._layers:
            raise KeyError(layer)
        name = f"{self._kind}.{layer}"
        stored, largest = self._tensors[name], self._tensors.get(f"{name}.{LARGEST}")
        first = self._evicted
        return decode(stored[:, first:], None if largest is None else largest[:, first:], self._dtype)

    def __iter__(self) -> Iterator[int]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


class Damaged(Problem):
    """A document's file is not what was written; `what` is wrong with it."""

    def __init__(self, file: "DocumentFile", what: str) -> None:
        where = f"{file.folder / file.entry.file}: document {file.entry}"
        super().__init__(f"{where}: damaged ({what}); put a copy in its place, or read it again")
        self.what = what


@dataclass(frozen=True)
class DocumentFile:
    """One document's file in a memory's folder; a `Problem` of it names both."""

    folder: Path
    entry: Entry
    fingerprint: Fingerprint

    def mapped(self) -> dict[str, Tensor]:
        """The tensors, mapped from the disk and not read yet; what their names, types and shapes say is checked."""
        path = self.folder / self.entry.file
        size = os.stat(path).st_size  # a missing file stays FileNotFoundError: the index may have moved on
        if size != self.entry.bytes:
            raise Damaged(self, f"{size:,} bytes instead of {self.entry.bytes:,}")
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        except RuntimeError as error:  # of torch, which maps the file that safetensors has looked at
            if os.strerror(errno.ENOENT) in str(error):  # it may be there again by now
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
            raise Problem(f"{path}: document {self.entry}: cannot be mapped ({error})") from None
        except SafetensorError as error:
            raise Damaged(self, f"no safetensors file: {error}") from None
        found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
        wanted = self._wanted(found.get("text", (None, (0,)))[1])
        for name in wanted.keys() | found.keys():
            if wanted.get(name) != found.get(name):
                raise Damaged(self, f"{name} is {found.get(name)} instead of {wanted.get(name)}")
        return tensors

    def load(self) -> Document:
        """The document; of it only the text is read now."""
        tensors = self.mapped()
        try:
            text = bytes(tensors["text"].numpy()).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise Damaged(self, f"its text is no UTF-8: {error}") from None
        dtype, first = DTYPES[self.fingerprint.dtype], self.entry.evicted
        keys, values = (Stored(tensors, kind, self.fingerprint.layers, dtype, first) for kind in ("keys", "values"))
        return Document(
            self.entry.name,
            self.entry.namespace,
            self.entry.source,
            text,
            self.entry.time,
            tensors["tokens"][first:],
            tensors["spans"][first:],
            tensors["positions"][first:],
            keys,
            values,
        )

    def verify(self) -> None:
        """Read the whole file and hold it against its digest."""
        with open(self.folder / self.entry.file, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.entry.sha256:
            raise Damaged(self, "its bytes are not those that were written")

    def _wanted(self, text: tuple[int, ...]) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        n, (g, d) = self.entry.evicted + self.entry.entries, (self.fingerprint.heads, self.fingerprint.dim)
        precision = self.entry.precision
        wanted = {
            "tokens": (torch.int64, (n,)),
            "spans": (torch.int64, (n, 2)),
            "positions": (torch.int64, (n,)),
            "text": (torch.uint8, (sum(text[:1]),)),
        }
        for name in (f"{kind}.{layer}" for kind in ("keys", "values") for layer in self.fingerprint.layers):
            wanted[name] = (torch.int8 if precision == INT8 else DTYPES[precision], (g, n, d))
            if precision == INT8:
                wanted[f"{name}.{LARGEST}"] = (torch.bfloat16, (g, n))
        return wanted
