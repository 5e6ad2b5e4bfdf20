import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.config import Config
from mnemon.model.context import Context, assemble
from mnemon.model.span import SpanConfig
from mnemon.model.state import LayerView, MemoryState
from mnemon.model.trace import LayerTrace, trace
from mnemon.ops import (
    Hidden,
    Neighbours,
    Partial,
    Shared,
    gated,
    joint,
    partial_context,
    partial_neighbours,
    partial_shared,
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


@dataclass(frozen=True)
class Call:
    """How one forward is made: `searches` keeps neighbour ids, so that a recomputed layer never searches again."""

    searches: dict[tuple[int, str], Neighbours | None] = field(default_factory=dict)
    lengths: Int[Tensor, " b"] | None = None
    inspect: bool = False


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
        self.span = config.span.build(n_heads) if config.span else None
        # A span ends at its limit, ramp included: so a cache cut there loses nothing.
        self.window = window if config.span is None else min(window, config.span.limit)
        self.n_heads, self.segment = n_heads, segment
        self.q, self.k, self.v = (nn.Linear(dim, n_heads * head_dim, bias=False) for _ in range(3))
        self.out = nn.Linear(n_heads * head_dim, dim, bias=False)
        start = 1 / math.sqrt(head_dim) if config.scale is None else config.scale
        self.scale = nn.Parameter(torch.full((n_heads,), start)) if config.qk_norm else start
        self.position = position
        self.pools = nn.ModuleDict(pools)
        gated = [name for name, pool in pools.items() if pool.merge == "gated"]
        if len(gated) > 1:
            raise ValueError(f"one gate mixes one pool with the others, got {' and '.join(gated)}")
        self.gated = gated[0] if gated else None
        self.gate = nn.Parameter(torch.full((n_heads,), config.gate)) if gated else None
        self.others = [name for name in pools if name not in RECENT]
        self.merges = any(pools[name].merge == "joint" for name in self.others)

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
        reach = None if self.span is None else min(self.window, self.span.longest())
        context = assemble(local, cache, self._project, self.window if reach is None else reach)
        k, v = (each[:, :, -x.shape[1] :].detach() for each in (context.k, context.v))
        update = replace(fresh, x=x.detach(), k=k, v=v, reach=reach)
        parts = self._partials(q, context, reads, scheme, call)
        merged = self._merge(parts)
        over_all = self.config.gate_over == "all"
        found = trace(parts, context, self.gate, self.gated, over_all, reads) if call.inspect else None
        return self.out(rearrange(merged.o, "b h t d -> b t (h d)")), update, found

    def named_pools(self) -> dict[str, Pool]:
        """The pools by name, in the order in which they are read."""
        return {name: cast(Pool, pool) for name, pool in self.pools.items()}

    def _read(
        self, name: str, pool: Pool, view: LayerView, q: Tensor, fresh: Fresh, call: Call
    ) -> Shared | Hidden | Neighbours | None:
        key = id(self), name
        if key not in call.searches:
            found = pool.read(view.states[name], q.detach(), fresh)
            if isinstance(found, Shared | Hidden):
                return found
            call.searches[key] = found
        return call.searches[key]

    def _heads(self, x: Float[Tensor, "b n hd"]) -> Float[Tensor, "b h n d"]:
        x = rearrange(x, "b n (h d) -> b h n d", h=self.n_heads)
        return unit(x) if self.config.qk_norm else x

    def _project(self, h: Float[Tensor, "b n e"]) -> tuple[Float[Tensor, "b h n d"], Float[Tensor, "b h n d"]]:
        return self._heads(self.k(h)), rearrange(self.v(h), "b n (h d) -> b h n d", h=self.n_heads)

    def _scaled(self, q: Float[Tensor, "#b h t x"]) -> Float[Tensor, "#b h t x"]:
        scale = self.scale.abs().to(q.dtype)[:, None, None] if isinstance(self.scale, Tensor) else self.scale
        return q * scale

    def _partials(
        self,
        q: Float[Tensor, "b h t d"],
        context: Context,
        reads: Mapping[str, Shared | Hidden | Neighbours | None],
        scheme: Position,
        call: Call,
    ) -> dict[str, Partial | None]:
        """What the context answers, and each other pool; None where one holds nothing at all."""
        t, dropout = q.shape[2], self.config.dropout if self.training else 0.0
        here = torch.arange(t, device=q.device)
        distance = here[:, None] - context.offset
        bias = scheme.bias(q, distance)
        asked = scheme.query(q)
        parts: dict[str, Partial | None] = {}
        parts["context"] = partial_context(
            self._scaled(scheme.rotate(asked, here)),
            scheme.rotate(context.k, context.offset),
            context.v,
            bias=None if bias is None else self._scaled(bias),
            seen=context.seen(distance, 0 if self.config.own_token else 1, self.window),
            weight=None if self.span is None else self.span(distance),
            dropout=dropout,
            merges=call.inspect or self.merges,
        )
        for name in self.others:
            read = reads[name]
            if isinstance(read, Shared):
                k = unit(read.k) if self.config.qk_norm else read.k
                parts[name] = partial_shared(self._scaled(asked), k.to(q.dtype), read.v.to(q.dtype), dropout)
            else:
                parts[name] = partial_neighbours(self._scaled(q), read) if isinstance(read, Neighbours) else None
        return parts

    def _merge(self, parts: Mapping[str, Partial | None]) -> Partial:
        context, *rest = (part for name, part in parts.items() if part is not None and name != self.gated)
        if self.gate is None or self.gated is None:
            return joint([context, *rest])
        memory, gate = parts[self.gated], wide(self.gate).sigmoid()
        if self.config.gate_over == "all":
            return gated(joint([context, *rest]), memory, gate)
        return joint([gated(context, memory, gate), *rest])
