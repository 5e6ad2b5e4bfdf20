"""Where a memory meets a host: in the attention function of single layers.

The host's attention module calls the function that its config names. A layer that has a memory gets a config of its own
which names `attend`; the model's masks and all other layers follow the model's config as before.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from mnemon.config import Problem
from mnemon.hosts.seam import Found, Seam, Seen, seam_of, uncompiled
from mnemon.ops import (
    Neighbours,
    Partial,
    Shared,
    gated,
    joint,
    partial_dense,
    partial_grouped,
    partial_neighbours,
    write_count,
)

NAME = "mnemon"  # of `attend` in transformers' registry
MASKS = ("sdpa", "eager")  # implementations whose masks are tensors, which one softmax over two pools needs

Answer = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class Host:
    """One call of a host's attention: its inputs, and the function that would answer.

    Queries, and keys and values with cached ones first, are as the host has them: rotated. `asked` is what the memory
    is asked with.
    """

    query: Float[Tensor, "b h t d"]
    asked: Float[Tensor, "b h t d"]
    key: Float[Tensor, "b g n d"]
    value: Float[Tensor, "b g n d"]
    mask: Tensor | None
    settings: dict[str, Any]
    function: Callable[..., Answer]
    name: str

    def answer(self, module: nn.Module) -> Answer:
        """What the host would compute: o [b t h d]."""
        return self.function(module, self.query, self.key, self.value, self.mask, **self.settings)

    def rows(self, rows: Tensor) -> "Host":
        """The same for some rows of the batch."""
        mask = self.mask if self.mask is None or len(self.mask) == 1 else self.mask[rows]
        own = {name: getattr(self, name)[rows] for name in ("query", "asked", "key", "value")}
        return replace(self, mask=mask, **own)


@uncompiled
def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> Answer:
    """The host's attention where nothing is remembered, else that merged with what the memory says: o [b t h d].

    In a compiled host it runs uncompiled, between the parts that are: what it searches is no part of a graph.
    """
    seam = seam_of(module)
    assert seam is not None
    eager = sys.modules[type(module).__module__].eager_attention_forward
    name = seam.shared._attn_implementation
    function = ALL_ATTENTION_FUNCTIONS.get_interface(name, eager)
    asked = query if seam.config.asks == "query" else _own_keys(query, key, attention_mask)
    host = Host(query, asked, key, value, attention_mask, settings, function, name)
    if seam.source.keeps:
        t = query.shape[2]
        seam.source.keep(seam.layer, seam.place.raw(module, key[:, :, -t:]), value[:, :, -t:])
    if not seam.source.remembers:
        return _counted(module, _answer(module, host))
    raw = seam.place.raw(module, asked)
    found = seam.source.search(seam.layer, rearrange(raw, "b (g j) t d -> b g (j t) d", g=key.shape[1]))
    rows = torch.cat([each.rows for each in found]) if found else torch.empty(0)
    if torch.equal(rows, torch.arange(len(query), device=rows.device)):
        return _merged(module, seam, host, raw, found), None
    o, weights = _answer(module, host)
    if not found:
        return _counted(module, (o, weights))
    return o.index_copy(0, rows, _merged(module, seam, host.rows(rows), raw[rows], found).to(o.dtype)), None


AttentionInterface.register(NAME, attend)


def _own_keys(query: Tensor, key: Tensor, mask: Tensor | None) -> Float[Tensor, "b h t d"]:
    """The key of each query's own token, once for each query head of its group: the last key that the query sees."""
    t, n = query.shape[2], key.shape[2]
    if mask is not None and n > t:
        seen = mask[:, 0] if mask.dtype == torch.bool else mask[:, 0] > torch.finfo(mask.dtype).min / 2
        last = (seen * torch.arange(n, device=key.device)).amax(-1).expand(len(key), -1)  # b t
        own = key.gather(2, last[:, None, :, None].expand(-1, key.shape[1], -1, key.shape[3]))
    else:
        own = key[:, :, :t] if t > 1 else key[:, :, -1:]  # without a mask a static cache has empty places behind
    return own.repeat_interleave(query.shape[1] // key.shape[1], dim=1)


def _gate(module: nn.Module) -> Any:
    """The layer's `HeadGate`, asked for each time: an adapter may have put a wrapper in its place."""
    return module.memory_gate


def _answer(module: nn.Module, host: Host) -> Answer:
    """What the host would compute, with the layer's persistent vectors where it has such: o [b t h d]."""
    if _gate(module).persistent is None:
        return host.answer(module)
    return rearrange(_joined(module, host).o, "b h t d -> b t h d").contiguous(), None


def _joined(module: nn.Module, host: Host) -> Partial:
    """The host's own attention with its log-sum-exp, persistent vectors among its keys where the layer has such."""
    own, vectors = _own(host), _gate(module).persistent
    if vectors is None:
        return own
    o = own.o if vectors.gate is None else rearrange(host.answer(module)[0], "b t h d -> b h t d")
    joined: Partial = vectors.joined(own, o, host.query * host.settings["scaling"], host.settings.get("softcap"))
    return joined


def _counted(module: nn.Module, answer: Answer) -> Answer:
    """The host's answer; in training the gate stays in the graph, for trainers that count the gradients they get."""
    learned = [p for p in _gate(module).parameters() if p.requires_grad]
    if not learned or not torch.is_grad_enabled():
        return answer
    return answer[0] + (torch.stack([p.sum() for p in learned]).sum() * 0.0).to(answer[0].dtype), answer[1]


def _merged(module: nn.Module, seam: Seam, host: Host, raw: Tensor, found: Sequence[Found]) -> Float[Tensor, "b t h d"]:
    """Host and memory merged, for rows in the order in which stores have been searched."""
    parts, start = [], 0
    for each in found:
        rows = slice(start, start + len(each.rows))
        parts.append(_remembered(module, seam, each, host, rows, raw[rows]))
        start = rows.stop
    memory = Partial(torch.cat([part.o for part in parts]), torch.cat([_z(part) for part in parts]))
    gate = _gate(module).bias
    if gate is not None:
        own = rearrange(_answer(module, host)[0], "b t h d -> b h t d")
        merged = gated(Partial(own, None), memory, gate.sigmoid())
    else:
        merged = joint([_joined(module, host), memory])
    if seam.trace is not None:
        seam.trace += _drawn(seam.layer, found, parts, merged)
    return rearrange(merged.o, "b h t d -> b t h d").contiguous()


def _remembered(module: nn.Module, seam: Seam, found: Found, host: Host, rows: slice, raw: Tensor) -> Partial:
    """What one search's neighbours say to the queries of its rows."""
    q = seam.place.meets(module, host.asked[rows], raw, found.before) * host.settings["scaling"]
    q = _gate(module).sharpened(q)
    if isinstance(found.read, Shared):
        return _all_of(found.read, _gate(module).by_age(found.age), q, host.settings.get("softcap"))
    t, (s, g) = raw.shape[2], found.read.ids.shape[:2]
    r = raw.shape[0] // s
    keys, read = seam.place.keys(module, found.read), found.read
    read = read if keys is read.keys else replace(read, keys=keys, version=write_count(keys))
    bias = _gate(module).by_age(rearrange(found.age, "s g (r j t) k -> (s r) (g j) t k", r=r, t=t))
    bias = None if bias is None else rearrange(bias, "(s r) (g j) t k -> s g (r j t) k", s=s, g=g)
    line = rearrange(q, "(s r) (g j) t d -> s g (r j t) d", s=s, g=g)
    part = partial_neighbours(line, read, bias, host.settings.get("softcap"))
    assert part.weights is not None
    return Partial(
        rearrange(part.o, "s g (r j t) d -> (s r) (g j) t d", r=r, t=t),
        rearrange(_z(part), "s g (r j t) -> (s r) (g j) t", r=r, t=t),
        rearrange(part.weights, "s g (r j t) k -> (s r) (g j) t k", r=r, t=t),
    )


def _all_of(
    read: Shared, bias: Float[Tensor, "1 h 1 m"] | None, q: Float[Tensor, "r h t d"], softcap: float | None
) -> Partial:
    """What a whole store says to queries; gradients reach its keys and values."""
    (r, _, t, _), g = q.shape, read.k.shape[1]
    bias = None if bias is None else repeat(bias, "1 (g j) 1 m -> 1 g (r j t) m", g=g, r=r, t=t)
    part = partial_dense(rearrange(q, "r (g j) t d -> 1 g (r j t) d", g=g), read.k, read.v, bias, softcap=softcap)
    return Partial(
        rearrange(part.o, "1 g (r j t) d -> r (g j) t d", r=r, t=t),
        rearrange(_z(part), "1 g (r j t) -> r (g j) t", r=r, t=t),
    )


def _own(host: Host) -> Partial:
    """The host's own attention with its log-sum-exp, which its function does not give."""
    if host.name not in MASKS:
        raise Problem(f"a joint merge needs the attention implementation {' or '.join(MASKS)}, not {host.name!r}")
    t, n, mask = host.query.shape[2], host.key.shape[2], host.mask
    # Without a mask the first t keys are the queries' own: a static cache has empty places behind them.
    if mask is None and t > 1:
        mask = torch.ones(1, 1, t, n, dtype=torch.bool, device=host.query.device).tril()
    seen, bias = (mask, None) if mask is None or mask.dtype == torch.bool else (None, mask)
    q, dropout, softcap = (
        host.query * host.settings["scaling"],
        host.settings.get("dropout", 0.0),
        host.settings.get("softcap"),
    )
    part = partial_grouped(q, host.key, host.value, bias, seen, dropout, softcap)
    return _sunk(part, host.settings.get("s_aux"))


def _sunk(part: Partial, sink: Float[Tensor, " h"] | None) -> Partial:
    """With the logit that some hosts add to each head's softmax, for nothing to be attended to."""
    if sink is None:
        return part
    z = torch.logaddexp(_z(part), sink.to(_z(part))[:, None])
    return Partial(part.o * (_z(part) - z).exp()[..., None].to(part.o.dtype), z)


def _drawn(layer: int, found: Sequence[Found], parts: Sequence[Partial], merged: Partial) -> list[Seen]:
    """Each neighbour's share of the output: its weight among neighbours, times the memory's share."""
    assert merged.weights is not None
    shares = merged.weights[..., -1:].detach().split([len(each.rows) for each in found])
    drawn = []
    for each, part, share in zip(found, parts, shares, strict=True):
        assert part.weights is not None
        assert isinstance(each.read, Neighbours), "what is drawn from a whole store is not traced"
        s, t = len(each.read.ids), part.weights.shape[2]
        ids = rearrange(each.read.ids, "s g (r j t) k -> (s r) (g j) t k", r=len(each.rows) // s, t=t)
        drawn.append(Seen(layer, each.rows, ids, share * part.weights))
    return drawn


def _z(part: Partial) -> Tensor:
    assert part.z is not None
    return part.z
