import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.config import Config
from mnemon.model.call import Call
from mnemon.model.context import Context, assemble
from mnemon.model.merge import merge
from mnemon.model.span import SpanConfig
from mnemon.model.state import LayerView, MemoryState
from mnemon.model.trace import LayerTrace, trace
from mnemon.ops import (
    Band,
    Common,
    Hidden,
    Neighbours,
    Partial,
    Shared,
    partial_context,
    partial_learned,
    partial_neighbours,
    wide,
)
from mnemon.pools import Fresh, Pool
from mnemon.positions import Position


class AttentionConfig(Config):
    """`qk_norm`: unit queries and keys with a learned scale a head, `scale` at the start (None: 1/sqrt(head_dim)).

    `own_token`: whether a token sees itself. `dropout` acts on attention weights, persistent ones included. `gate`:
    start value of the logit b_h, g = sigmoid(b_h); `gate_over`: what it mixes the memory with, the context alone or
    all other pools, persistent vectors included. `equal_start`: a layer with a kNN memory starts with W_k = W_q, so
    that a search finds similar contexts from the first step on, where otherwise it would return anything.
    """

    qk_norm: bool = True
    scale: float | None = 1.0
    own_token: bool = False
    dropout: float = 0.0
    span: SpanConfig | None = None
    gate: float = 0.0
    gate_over: Literal["context", "all"] = "context"
    equal_start: bool = False


def _attended(
    fresh: Fresh, reads: Mapping[str, Shared | Hidden | Neighbours | None], parts: Mapping[str, Partial | None]
) -> Fresh:
    """The segment with what a memory gave to it, and the attention that each neighbour had within the memory."""
    for name, read in reads.items():
        part = parts.get(name)
        if isinstance(read, Neighbours) and part is not None and part.weights is not None:
            return replace(fresh, found=read, weights=part.weights.detach())
    return fresh


RECENT = ("local", "cache")  # the pools whose keys have a position: together they are the context


def unit(x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """x / sqrt(sum x^2 + 1e-6), at least in float32 (arXiv 2203.08913, section 3.2)."""
    y = wide(x)
    return (y * torch.rsqrt(y.square().sum(-1, keepdim=True) + 1e-6)).to(x.dtype)


class Attention(nn.Module):
    """Multi-head attention over pools: each gives a partial result, a small function merges them.

    s = scale_h (q . k + bias);  context = softmax over {cache, local} V;  the kNN memory comes in by a gate,
    (1 - g_h) context + g_h memory, or jointly; persistent vectors join by their log-sum-exp;  Y = concat_h(.) W_o.
    No biases. arXiv 1907.01470 section 3 (persistent vectors), 2203.08913 section 3 (memory, gate).
    Deviation: |scale_h|, as in later released code: a negative one would set the search against the scores.
    """

    def __init__(
        self,
        dim: int,
        n_heads: int,
        head_dim: int,
        pools: Mapping[str, Pool],
        window: int,
        segment: int,
        position: Position | None,
        config: AttentionConfig,
    ):
        super().__init__()
        self.config = config
        # Heads that see one pool alone ("beside") come last, and have no part in the context.
        self.heads = n_heads - sum(pool.heads for pool in pools.values())
        self.span = config.span.build(self.heads) if config.span else None
        # A span ends at its limit, ramp included: so a cache cut there loses nothing.
        self.window = window if config.span is None else min(window, config.span.limit)
        self.head_dim, self.segment = head_dim, segment
        self.q, self.k, self.v = (nn.Linear(dim, h * head_dim, bias=False) for h in (n_heads, self.heads, self.heads))
        self.out = nn.Linear(n_heads * head_dim, dim, bias=False)
        start = 1 / math.sqrt(head_dim) if config.scale is None else config.scale
        self.scale = nn.Parameter(torch.full((n_heads,), start)) if config.qk_norm else start
        self.position = position
        self.pools = nn.ModuleDict(pools)
        gated = [name for name, pool in pools.items() if pool.merge == "gated"]
        if len(gated) > 1:
            raise ValueError(f"one gate mixes one pool with the others, got {' and '.join(gated)}")
        self.gated = gated[0] if gated else None
        self.gate = nn.Parameter(torch.full((self.heads,), config.gate)) if gated else None
        self.merges = {name: pool.merge for name, pool in pools.items() if name not in RECENT}

    def equalise(self) -> None:
        """W_k = W_q: from now on similar queries find each other's keys."""
        with torch.no_grad():
            self.k.weight.copy_(self.q.weight)

    def init_state(self, rows: int, memory: int | None = None) -> MemoryState:
        """A state for this layer alone, for a loop of your own."""
        return MemoryState([self.named_pools()], rows, self.segment, memory)

    def forward(
        self, x: Float[Tensor, "b t e"], view: LayerView, call: Call | None = None, position: Position | None = None
    ) -> tuple[Float[Tensor, "b t e"], Fresh, LayerTrace | None]:
        """(output, the segment's detached keys and values, trace if asked for).

        `position` is given where layers share one.
        """
        call = call or Call()
        scheme = self.position or position
        assert scheme is not None, "this layer shares its positions with others and was given none"
        q = self._heads(self.q(x))
        fresh = Fresh(x, view.position, lengths=call.lengths)
        reads = {name: self._read(name, pool, view, q, fresh, call) for name, pool in self.named_pools().items()}
        local, cache = reads["local"], reads.get("cache")
        assert isinstance(local, Hidden)
        assert not isinstance(cache, Neighbours)
        reach = self._reach()
        context = assemble(local, cache, self._project, self.window if reach is None else reach)
        recent = context.k.detach(), context.v.detach()
        k, v = (each[:, :, -x.shape[1] :] for each in recent)
        parts = self._partials(q, context, reads, scheme, call)
        update = replace(_attended(fresh, reads, parts), x=x.detach(), k=k, v=v, reach=reach, recent=recent)
        gate = None if self.gate is None else wide(self.gate).sigmoid()
        over_all = self.config.gate_over == "all"
        merged = merge(parts, self.merges, gate, over_all)
        found = trace(parts, context, self.merges, gate, over_all, reads) if call.inspect else None
        return self.out(rearrange(merged.o, "b h t d -> b t (h d)")), update, found

    def written(self, x: Float[Tensor, "b t e"], view: LayerView, lengths: Int[Tensor, " b"] | None = None) -> Fresh:
        """What `forward` would have written of the segment, without reading any pool."""
        k, v = self._project(x)
        return Fresh(x.detach(), view.position, k.detach(), v.detach(), lengths, reach=self._reach())

    def _reach(self) -> int | None:
        """How far back the longest span looks; None without spans."""
        return None if self.span is None else min(self.window, self.span.longest())

    def named_pools(self) -> dict[str, Pool]:
        """The pools by name, in the order in which they are read."""
        return {name: cast(Pool, pool) for name, pool in self.pools.items()}

    def _read(
        self, name: str, pool: Pool, view: LayerView, q: Tensor, fresh: Fresh, call: Call
    ) -> Shared | Hidden | Neighbours | None:
        key = id(self), name
        if key not in call.searches:
            found = pool.read(view.states[name], q[:, : self.heads].detach(), fresh)
            if isinstance(found, Shared | Hidden):
                return found
            call.searches[key] = found
        return call.searches[key]

    def _heads(self, x: Float[Tensor, "b n hd"]) -> Float[Tensor, "b h n d"]:
        x = rearrange(x, "b n (h d) -> b h n d", d=self.head_dim)
        return unit(x) if self.config.qk_norm else x

    def _project(self, h: Float[Tensor, "b n e"]) -> tuple[Float[Tensor, "b h n d"], Float[Tensor, "b h n d"]]:
        return self._heads(self.k(h)), rearrange(self.v(h), "b n (h d) -> b h n d", d=self.head_dim)

    def _scaled(self, q: Float[Tensor, "#b h t x"], first: int = 0) -> Float[Tensor, "#b h t x"]:
        """Scores or queries of the heads from `first` on, times their scales."""
        if not isinstance(self.scale, Tensor):
            return q * self.scale
        return q * self.scale[first : first + q.shape[1]].abs().to(q.dtype)[:, None, None]

    def _partials(
        self,
        q: Float[Tensor, "b h t d"],
        context: Context,
        reads: Mapping[str, Shared | Hidden | Neighbours | None],
        scheme: Position,
        call: Call,
    ) -> dict[str, Partial | None]:
        """What the context answers, and each other pool; None where one holds nothing at all."""
        dropout = self.config.dropout if self.training else 0.0
        q, alone = q[:, : self.heads], q[:, self.heads :]
        here = torch.arange(q.shape[2], device=q.device)
        asked = scheme.query(q)
        turned = scheme.rotate(asked, here)
        scaled = self._scaled(asked)
        near = scaled if turned is asked else self._scaled(turned)
        joined, common = self._joined(reads, scaled, call)
        parts: dict[str, Partial | None] = {}
        parts["context"] = partial_context(
            near,
            scheme.rotate(context.k, context.offset),
            context.v,
            self._band(q, context, scheme),
            common,
            dropout,
            merges="joint" in (merges for name, merges in self.merges.items() if name != joined),
            weights=call.inspect,
        )
        for name, merges in self.merges.items():
            read = reads[name]
            if isinstance(read, Shared) and name != joined:
                asking = self._scaled(alone, self.heads) if merges == "beside" else scaled
                k, v = self._learned(read, q.dtype)
                parts[name] = partial_learned(asking, k, v, dropout, weights=call.inspect)
            elif name != joined:
                parts[name] = partial_neighbours(self._scaled(q), read) if isinstance(read, Neighbours) else None
        return parts

    def _band(self, q: Float[Tensor, "b h t d"], context: Context, scheme: Position) -> Band:
        """How the recent past is seen, by distance."""
        first = 0 if self.config.own_token else 1
        last = max(min(self.window, context.k.shape[2] - 1), first)
        distance = torch.arange(last, first - 1, -1, device=q.device)
        bias = scheme.bias(q, distance)
        weight = None if self.span is None else self.span(distance)
        return Band(first, last, None if bias is None else self._scaled(bias), weight, context.valid)

    def _joined(
        self, reads: Mapping[str, object], q: Float[Tensor, "b h t d"], call: Call
    ) -> tuple[str | None, Common | None]:
        """The pool whose keys go into one softmax with the context, where nothing comes in between, and these keys."""
        if not call.inspect and (self.gate is None or self.config.gate_over == "all"):
            for name, merges in self.merges.items():
                read = reads[name]
                if merges == "joint" and isinstance(read, Shared):
                    return name, Common(q, *self._learned(read, read.k.dtype))
        return None, None

    def _learned(self, read: Shared, dtype: torch.dtype) -> tuple[Float[Tensor, "h n d"], Float[Tensor, "h n d"]]:
        """Keys and values that all rows share, as attention takes them."""
        return (unit(read.k) if self.config.qk_norm else read.k).to(dtype), read.v.to(dtype)
