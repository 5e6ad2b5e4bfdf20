from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from mnemon.config import Problem
from mnemon.hosts.citing import Cited, Citing
from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.fingerprint import tokenizer_digest, weights_digest
from mnemon.hosts.namespaces import Namespaces, all_documents
from mnemon.hosts.on_disk import OnDisk
from mnemon.hosts.places import go_on
from mnemon.hosts.reading import Progress, Reader
from mnemon.hosts.segments import given, prefix
from mnemon.hosts.sewing import seams, sew, unpick
from mnemon.hosts.support import family
from mnemon.memory import Document, DocumentStore, Fingerprint, Saved, opened, save


class Memory:
    """What an attached host has read, and everything that can be done with it. `attach` makes it.

    The host reads it in every forward and `generate`, and never writes it: `read` does, one document after the other.
    Every document is read from an empty cache; unless the config says `sees="memory"`, it is read as if nothing else
    had been, so that forgetting a document equals never having read it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        config: MemoryConfig | None = None,
    ):
        family(model)
        if seams(model):
            raise Problem("this model has a memory already: detach it first")
        self.model, self.tokenizer, self.config = model, tokenizer, config or MemoryConfig()
        self.source, self.prefix = Namespaces(self.config), prefix(tokenizer)
        self.seams = sew(model, self.config, self.source)
        self.layers = tuple(seam.layer for seam in self.seams)
        for seam in self.seams:
            seam.owner = self
        self.citing = Citing(model, tokenizer, self.source)
        self._on_disk: dict[Path, OnDisk] = {}
        if self.config.positions == "original":
            self.seams[0].handles += go_on(model, self.source)
        self.seams[0].handles.append(model.register_forward_pre_hook(self.citing.calls, with_kwargs=True))
        self._reader = Reader(model, self.layers, self.config, self.source, self.prefix)

    def __len__(self) -> int:
        """Entries of all namespaces, in each layer."""
        return sum(map(len, self.source.stores.values()))

    @property
    def documents(self) -> list[Document]:
        """Everything that is remembered, oldest first within each namespace."""
        return all_documents(self.source.stores)

    def read(
        self,
        path: str | Path | None = None,
        *,
        text: str | None = None,
        input_ids: Int[Tensor, "*one n"] | None = None,
        document: str | None = None,
        namespace: str = "",
        progress: Progress = lambda done, total: None,
    ) -> int:
        """Remember a file, a text or tokens under the id `document`; how many entries came.

        The id of a file is its path unless another is given. `progress` is told how many tokens of how many are behind.
        If it is interrupted nothing of the document is remembered.
        """
        source, whole = given(self.tokenizer, path, text, input_ids)
        name = document or (str(path) if path is not None else None)
        if name is None:
            raise Problem("text and input_ids need an id: give document=...")
        store = self.source.store(namespace)
        if name in store.names:
            raise Problem(f"document {name!r} is remembered already: replace or forget it, or give another id")
        try:
            return self._reader.read(_blank(name, namespace, source, whole.text), whole, store, progress)
        except BaseException:
            if name in store.names:
                store.forget(name)
            raise

    def forget(self, document: str, namespace: str = "") -> int:
        """Drop a document: afterwards all is as if it had never been read. How many entries went."""
        return len(self.source.store(namespace).forget(document))

    def replace(
        self,
        document: str,
        text: str | None = None,
        namespace: str = "",
        progress: Progress = lambda done, total: None,
        *,
        path: str | Path | None = None,
    ) -> int:
        """Forget a document and remember a new text or file under its id; how many entries came.

        It is all or nothing.
        """
        store = self.source.store(namespace)
        if document not in store.names:
            store.forget(document)  # says which names there are
        kept = store.documents()
        try:
            store.forget(document)
            return self.read(path, text=text, document=document, namespace=namespace, progress=progress)
        except BaseException:
            self.source.stores[namespace] = fresh = type(store)(store.size)
            for each in kept:
                fresh.add(each)
            raise

    @contextmanager
    def using(self, namespaces: str | Sequence[str]) -> Iterator[None]:
        """Within it, row r of every call sees namespace r alone; one name goes for all rows."""
        before = self.source.using
        self.source.using = (namespaces,) if isinstance(namespaces, str) else tuple(namespaces)
        if not self.source.using:
            raise Problem("using needs a namespace for each row, or one for all")
        try:
            yield
        finally:
            self.source.using = before

    def citations(self, out: Int[Tensor, "b n"] | ModelOutput, top: int = 4) -> list[list[Cited]]:
        """What each generated token of the last call drew on: `out` is what `generate` returned.

        The sequences are read once more with the memory, which gives what their generation saw, however they were
        chosen: greedily, by sampling, among beams or with an assistant.
        """
        return self.citing.cite(_sequences(out), self.seams, top)

    def remember(self, out: Int[Tensor, "b n"] | ModelOutput, document: str) -> int:
        """Remember what the last call was asked and what it said, each row in the namespace that it used.

        `generate` itself writes nothing. With several rows the id of row r is `document r`. How many entries came.
        """
        said = self.citing.said(_sequences(out))
        names = [document] if len(said) == 1 else [f"{document} {row}" for row in range(len(said))]
        taken = [name for name, (space, _) in zip(names, said, strict=True) if name in self.source.store(space).names]
        if taken:
            raise Problem(f"document {taken[0]!r} is remembered already: forget it, or give another id")
        return sum(
            self.read(input_ids=ids, document=name, namespace=space)
            for name, (space, ids) in zip(names, said, strict=True)
        )

    def save(self, folder: str | Path, precision: str | None = None) -> Saved:
        """Make the memory in `folder` this one: all of it or nothing. `precision`: see `mnemon.memory.writing`.

        What was loaded from there or saved to it before, and is the same, is not even looked at.
        """
        documents, on_disk = self.documents, self.on_disk(folder)
        done = save(folder, documents, self.fingerprint(), precision, on_disk.known(documents))
        on_disk.note(documents, done.documents)
        return done

    def on_disk(self, folder: str | Path) -> OnDisk:
        """What is known of a folder that was saved to, or loaded from."""
        return self._on_disk.setdefault(Path(folder).absolute(), OnDisk())

    @classmethod
    def load(
        cls,
        folder: str | Path,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        verify: bool = False,
        **settings: Any,
    ) -> Self:
        """The memory that was saved in `folder`, for the model that it was saved from.

        A model that has a memory keeps it, with its settings; what it remembers becomes what the folder holds. To
        another one a memory is attached with `settings`, in the layers and under the policy that the folder names.
        Keys and values are mapped from the disk where they can be; `verify` reads all of them and compares digests,
        which is advised before they are saved again.
        """
        contents, documents = opened(folder, verify=verify)
        theirs = contents.fingerprint
        of_file = {"layers": theirs.layers, "positions": theirs.positions, "value": theirs.value}
        had = [seam.owner for seam in seams(model)]
        memory = had[0] if had else cls(model, tokenizer, MemoryConfig.parse({**of_file, **settings}, "attach"))
        assert isinstance(memory, cls)
        try:
            memory._take(folder, theirs, documents)
            memory.on_disk(folder).note(documents, contents.documents)
        except BaseException:
            if not had:
                unpick(model)
            raise
        return memory

    def _take(self, folder: str | Path, theirs: Fingerprint, documents: Sequence[Document]) -> None:
        """Remember these documents and nothing else."""
        unlike = self.fingerprint().differs(theirs)
        if unlike:
            raise Problem(f"{folder}: this memory belongs to another model or setting: {unlike}")
        stores: dict[str, DocumentStore] = {}
        for each in documents:
            keys, values = (
                {layer: x.to(self.model.device) for layer, x in side.items()} for side in (each.keys, each.values)
            )
            stores.setdefault(each.namespace, DocumentStore(self.config.size)).add(
                replace(each, keys=keys, values=values)
            )
        total = {name: sum(len(each) for each in documents if each.namespace == name) for name in stores}
        over = {name: count for name, count in total.items() if count > self.config.size}
        if over:
            raise Problem(
                f"{folder}: {max(over.values())} entries, and size is {self.config.size}: attach with a larger size"
            )
        self.source.stores = stores

    def fingerprint(self) -> Fingerprint:
        """What this memory belongs to."""
        heads, dim = self._reader.shape()
        return Fingerprint(
            model=weights_digest(self.model),
            tokenizer=tokenizer_digest(self.tokenizer),
            layers=self.layers,
            heads=heads,
            dim=dim,
            positions=self.config.positions,
            dtype=str(self.model.dtype).removeprefix("torch."),
            value=self.config.value,
        )


def _sequences(out: Tensor | ModelOutput) -> Tensor:
    return out["sequences"] if isinstance(out, ModelOutput) else out


def _blank(name: str, namespace: str, source: str, text: str) -> Document:
    none = torch.empty(0, dtype=torch.long)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Document(name, namespace, source, text, now, none, none.view(0, 2), none, {}, {})
