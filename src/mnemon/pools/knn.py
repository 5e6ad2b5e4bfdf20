from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional

from mnemon.config import Config, Problem
from mnemon.index import Store, StoreKind, find_store
from mnemon.ops import Neighbours, write_count
from mnemon.pools import recent
from mnemon.pools.base import Fresh, Merge, Pool, State


@dataclass(frozen=True)
class KNNState(State):
    """A store for all rows and heads, and the begun segment that is not in it yet.

    `rows` maps a row to its row of the store (beams share one). The store is made by `kind` at the first write, in the
    dtype of the keys, and grows to its size as it fills. `tail_k`, `tail_v` [b h n d] are right-aligned, `count` of
    them real; `next` is the stream position behind the tail, `start` that of the document's first token; `last`
    [b h 1 d] is the newest token's key.
    """

    size: int
    kind: StoreKind
    store: Store | None
    rows: Tensor
    tail_k: Tensor
    tail_v: Tensor
    count: Tensor
    next: Tensor
    start: Tensor
    last: Tensor

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        stored = {} if self.store is None else self.store.tensors()
        return super().tensors(prefix) | {f"{prefix}.store.{name}": tensor for name, tensor in stored.items()}

    def loaded(self, prefix: str, tensors: dict[str, Tensor]) -> Self:
        state, begin = super().loaded(prefix, tensors), f"{prefix}.store."
        stored = {name.removeprefix(begin): tensor for name, tensor in tensors.items() if name.startswith(begin)}
        if not stored:
            return replace(state, store=None)
        store = self.kind.loaded(stored, state.size)
        return replace(state, store=store, size=store.size)


class KNNPool(Pool):
    """Every key and value of the documents read so far, found by inner product; no gradient reaches them.

    Entries enter the store when a segment's worth of tokens is complete or the document ends; until then they are
    local. Gated, the memory may repeat what the cache holds, as in arXiv 2203.08913, section 3.2; jointly merged, it
    holds back what the window and the `cached` positions still show of this document: nothing is counted twice.
    `faithful`: where fewer than `top_k` entries are written, empty slots are returned after them, of key 0 and value 0,
    as in the released code; the size must then be a multiple of the segment.
    """

    def __init__(
        self,
        n_heads: int,
        head_dim: int,
        segment: int,
        window: int,
        cached: int,
        config: "KNNConfig",
        faithful: bool = False,
    ):
        super().__init__()
        self.merge: Merge = config.merge  # type: ignore[misc]  # a setting of this pool, a constant of the others
        self.n_heads, self.head_dim = n_heads, head_dim
        self.segment, self.window, self.cached = segment, window, cached
        self.size, self.top_k, self.kind = config.size, config.top_k, find_store(config.index)
        self.kind.check()
        self.shifted, self.faithful = config.value == "next", faithful
        self._check(self.size)

    def init_state(self, rows: int, memory: int | None = None) -> KNNState:
        size = self.size if memory is None else memory
        self._check(size)
        if size:
            self.kind.reach(self.head_dim)
        empty = torch.empty(rows, self.n_heads, 0, self.head_dim)
        count, behind, start = torch.zeros(3, rows, dtype=torch.long).unbind()
        last = torch.zeros(rows, self.n_heads, 1, self.head_dim)
        return KNNState(size, self.kind, None, torch.arange(rows), empty, empty, count, behind, start, last)

    def _check(self, size: int) -> None:
        if size < 0 or 0 < size < self.top_k:
            raise Problem(f"a memory of {size} entries is smaller than top_k = {self.top_k}: give at least that, or 0")
        if self.faithful and size % self.segment:
            raise Problem(
                f"a memory of {size} entries: faithful needs a multiple of the segment, which is {self.segment}"
            )

    def reset(self, state: KNNState, rows: Tensor, memory: bool = True) -> KNNState:
        """With `memory=False` the begun segment enters the store, as if its document had ended."""
        rows = rows.cpu()
        if not memory:
            begun = rows & (state.count > 0)
            state = self._write(state, begun) if bool(begun.any()) else state
            return replace(state, start=torch.where(rows, state.next, state.start))
        state = _own(state) if bool(rows.any()) else state
        if state.store is not None:
            state.store.reset(rows)
        count, behind, start = (counter.masked_fill(rows, 0) for counter in (state.count, state.next, state.start))
        return replace(state, count=count, next=behind, start=start)

    def read(self, state: KNNState, q: Tensor, fresh: Fresh) -> Neighbours | None:
        found = self._found(state, q, fresh)
        return _with_zeros(found, q, self.top_k) if self.faithful and state.size else found

    def _found(self, state: KNNState, q: Tensor, fresh: Fresh) -> Neighbours | None:
        if state.store is None:
            return None
        before = None
        if self.merge == "joint":
            window = fresh.position[:, None] + torch.arange(q.shape[2]) - self.window  # b t
            before = window.clamp(min=torch.maximum(state.start, fresh.position - self.cached)[:, None])
        return state.store.find(q, self.top_k, state.rows, before)

    def update(self, state: KNNState, fresh: Fresh) -> KNNState:
        if not state.size:
            return state
        assert fresh.k is not None
        assert fresh.v is not None
        if state.store is not None and fresh.found is not None and fresh.weights is not None and _alone(state):
            state.store.attended(fresh.found, fresh.weights)
        lengths = fresh.real()
        count = state.count + lengths
        keys, last = self._keys(state, fresh, lengths)
        k, v = (
            recent.append(old.to(new.device), new, lengths, int(count.max()))
            for old, new in ((state.tail_k, keys), (state.tail_v, fresh.v))
        )
        done = count >= self.segment if fresh.ends is None else (count >= self.segment) | fresh.ends
        state = replace(state, tail_k=k, tail_v=v, count=count, next=fresh.position + lengths, last=last)
        return self._write(state, done & (count > 0)) if bool(done.any()) else state

    def _keys(self, state: KNNState, fresh: Fresh, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The keys to store with the segment's values, and the key of each row's newest token."""
        k = fresh.k
        assert k is not None
        if not self.shifted:
            return k, state.last
        begun, fed = (where.to(k.device)[:, None, None, None] for where in (fresh.position > state.start, lengths > 0))
        before = torch.where(begun, state.last.to(k), k[:, :, :1])  # a document's first token has none before it
        newest = (lengths - 1).clamp(min=0).to(k.device)[:, None, None, None].expand_as(before)
        return torch.cat([before, k[:, :, :-1]], dim=2), torch.where(fed, k.gather(2, newest), before)

    def select(self, state: KNNState, rows: Tensor) -> KNNState:
        rows, there = rows.cpu(), rows.to(state.tail_k.device)
        state = replace(state, tail_k=state.tail_k[there], tail_v=state.tail_v[there], last=state.last[there])
        count, behind, start = (counter[rows] for counter in (state.count, state.next, state.start))
        return replace(state, rows=state.rows[rows], count=count, next=behind, start=start)

    def _write(self, state: KNNState, done: Tensor) -> KNNState:
        """Move the tails of the rows that are `done` into the store."""
        state = _own(state)
        k, v, n = state.tail_k, state.tail_v, state.tail_k.shape[2]
        store = state.store or state.kind.empty(len(done), self.n_heads, state.size, self.head_dim, like=k)
        first = n - state.count  # left-align: entry j of a row is slot first + j
        left_k, left_v = k, v
        if bool(first.any()):
            slots = (torch.arange(n) + first[:, None]).clamp(max=n - 1)
            index = slots.to(k.device)[:, None, :, None].expand_as(k)
            left_k, left_v = k.gather(2, index), v.gather(2, index)
        positions = (state.next - state.count)[:, None] + torch.arange(n)
        store.write(left_k, left_v, positions, state.count.masked_fill(~done, 0), state.start)
        count = state.count.masked_fill(done, 0)
        left = n - int(count.max())
        return replace(state, store=store, count=count, tail_k=k[:, :, left:], tail_v=v[:, :, left:])


def _with_zeros(found: Neighbours | None, q: Tensor, k: int) -> Neighbours:
    """`k` neighbours for every query: those found, and zeros where there are fewer."""
    b, h, t, d = q.shape
    if found is None:
        none, index = q.new_zeros(b, h, 1, d), torch.zeros(b, h, t, 0, dtype=torch.long, device=q.device)
        positions, rows = torch.full((b, 1), -1, device=q.device), torch.arange(b, device=q.device)
        found = Neighbours(none, none, positions, rows, index, index > 0, q[..., :0], write_count(none))
    short = (0, k - found.ids.shape[-1])
    ids, valid = (functional.pad(each, short) for each in (found.ids, found.valid))
    scores = functional.pad(found.scores, short, value=-torch.inf)
    return replace(found, ids=ids, valid=valid, scores=scores, zeros=True)


def _alone(state: KNNState) -> bool:
    """Whether each row has its own row of the store, in order: beams share rows."""
    return state.store is not None and torch.equal(state.rows, torch.arange(len(state.store.written)))


def _own(state: KNNState) -> KNNState:
    """A state whose rows each own their row of the store: shared rows (beams) are copied before they diverge."""
    rows = torch.arange(len(state.rows))
    if state.store is None or _alone(state):
        return replace(state, rows=rows)
    return replace(state, store=state.store.chosen(state.rows), rows=rows)


class KNNConfig(Config):
    """`layers` that read the memory, `size` entries a row and head, `top_k` neighbours a query and head.

    `merge`: by the paper's gate, or jointly in one softmax with everything else. `value`: what is stored with a
    token's key: its own value, as published, or the next token's, so that a similar context answers with what came
    after it (the pairing of kNN-LM, arXiv 1911.00172). `index`: how neighbours are searched, `NAME` or
    `NAME:option=number` of `index.INDEXES` or `index.STORES`. `positions`: whether its layers keep the model's
    positions for their recent past, as in the code released in 2022, or have none, as in that of 2025.
    """

    layers: tuple[int, ...] = (8,)
    size: int = 8192
    top_k: int = Field(32, ge=1)
    merge: Literal["gated", "joint"] = "gated"
    value: Literal["own", "next"] = "own"
    index: str = "exact"
    positions: bool = True

    @field_validator("index")
    @classmethod
    def _known(cls, name: str) -> str:
        find_store(name)
        return name

    def build(
        self, dim: int, n_heads: int, head_dim: int, segment: int, window: int, cached: int, faithful: bool = False
    ) -> Pool:
        return KNNPool(n_heads, head_dim, segment, window, cached, self, faithful)
