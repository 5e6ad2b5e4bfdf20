"""arXiv 1907.01470, with the adaptive span of 1905.07799: the formulas as loops, one query, head and key at a time.

Nothing of the package is used but the values of the parameters, by name.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

L, E, H, D, N, S, R, BLOCK, V, B = 2, 12, 3, 4, 6, 7, 2, 5, 13, 2


class Loops:
    """One lane: a list of the hidden states that each layer has kept. `h` heads of `d` channels, `n` vectors.

    `nearest`: the distance of the previous token in the span's mask, 1 in the paper and 0 in the released code.
    `faithful`: before the first token there are `S` hidden states of zero.
    """

    def __init__(
        self,
        named: Mapping[str, Tensor],
        form: str = "all-attn",
        h: int = H,
        d: int = D,
        n: int = N,
        nearest: int = 1,
        faithful: bool = False,
    ) -> None:
        self.named, self.form, self.h, self.d, self.n, self.nearest = named, form, h, d, n, nearest
        before = S * [torch.zeros(E, dtype=torch.float64)] if faithful else []
        self.cache: list[list[Tensor]] = [list(before) for _ in range(L)]

    def heads(self, layer: int, name: str) -> Tensor:
        return self.named[f"blocks.{layer}.attention.{name}.weight"].reshape(-1, self.d, E)

    def block(self, tokens: list[int]) -> Tensor:
        """Final hidden states of the lane's next tokens."""
        h = [self.named["embedding.table"][token].clone() for token in tokens]
        for layer in range(L):
            seen = self.cache[layer] + h
            first = len(self.cache[layer])
            h = [self.one(layer, seen, first + i) for i in range(len(h))]
            self.cache[layer] = [x.detach() for x in seen][-S:]
        return torch.stack(h)

    def one(self, layer: int, seen: list[Tensor], t: int) -> Tensor:
        """LayerNorm(h_t + y_t); where there is a feed-forward layer with softmax, LayerNorm(x + U softmax(V x))."""
        x = self.norm(
            layer, 0, seen[t] + self.named[f"blocks.{layer}.attention.out.weight"] @ self.output(layer, seen, t)
        )
        if self.form != "ff-attn" or not self.n:
            return x
        v, u = (self.named[f"blocks.{layer}.feedforward.{name}.weight"] for name in ("up", "down"))
        weights = [(v[i] @ x).exp() for i in range(self.n)]
        return self.norm(layer, 1, x + sum(a * u[:, i] for i, a in enumerate(weights)) / sum(weights))

    def norm(self, layer: int, place: int, x: Tensor) -> Tensor:
        x = (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()
        return x * self.named[f"blocks.{layer}.norms.{place}.weight"] + self.named[f"blocks.{layer}.norms.{place}.bias"]

    def output(self, layer: int, seen: list[Tensor], t: int) -> Tensor:
        """What the layer's heads say, one after another, in each of the forms."""
        q = [self.heads(layer, "q")[head] @ seen[t] for head in range(self.h)]
        if not self.n or self.form == "ff-attn":
            return torch.cat([self.ratio(self.context(layer, i, q[i], seen, t)) for i in range(self.h)])
        if self.form == "all-attn":
            both = [self.context(layer, i, q[i], seen, t) + self.persistent(layer, i, q[i]) for i in range(self.h)]
            return torch.cat([self.ratio(weighed) for weighed in both])
        if self.form == "head-split":
            half = self.h // 2
            near = [self.ratio(self.context(layer, i, q[i], seen, t)) for i in range(half)]
            return torch.cat(near + [self.ratio(self.persistent(layer, i, q[half + i])) for i in range(half)])
        near = torch.cat([self.ratio(self.context(layer, i, q[i], seen, t)) for i in range(self.h)])
        if self.form == "single-head":
            return near + self.ratio(self.persistent(layer, 0, torch.cat(q)))
        return near + torch.cat([self.ratio(self.persistent(layer, i, q[i])) for i in range(self.h)])

    def ratio(self, weighed: list[tuple[Tensor, Tensor]]) -> Tensor:
        """sum_i a_i v_i / sum_i a_i; zero where nothing is seen."""
        total = sum((a for a, _ in weighed), torch.zeros((), dtype=torch.float64))
        if total == 0:
            return torch.zeros(self.d, dtype=torch.float64)
        return sum((a * v for a, v in weighed[1:]), weighed[0][0] * weighed[0][1]) / total

    def context(self, layer: int, head: int, q: Tensor, seen: list[Tensor], t: int) -> list[tuple[Tensor, Tensor]]:
        """m_z(t-r) exp(q . (k_r + p_(t-r)) / sqrt(d_h)) and v_r, for t-S <= r <= t-1."""
        wk, wv = (self.heads(layer, name)[head] for name in ("k", "v"))
        z = S * self.named[f"blocks.{layer}.attention.span.ratio"][head]
        found = []
        for r in range(max(0, t - S), t):
            p = self.table(layer)[:, t - r - 1]
            m = ((R + z - (t - r - 1 + self.nearest)) / R).clamp(0, 1)
            found.append((m * (q @ (wk @ seen[r] + p) / math.sqrt(self.d)).exp(), wv @ seen[r]))
        return found

    def table(self, layer: int) -> Tensor:
        """One for all layers, or one a layer."""
        shared = self.named.get("position.table")
        return self.named[f"blocks.{layer}.attention.position.table"] if shared is None else shared

    def persistent(self, layer: int, head: int, q: Tensor) -> list[tuple[Tensor, Tensor]]:
        """exp(q . (sqrt(d) Kp_i) / sqrt(d)) and sqrt(N) Vp_i, d being the width of this head."""
        key, value = (
            self.named[f"blocks.{layer}.attention.pools.persistent.{name}"][head] for name in ("key", "value")
        )
        n, d = key.shape
        return [((q @ (math.sqrt(d) * key[i]) / math.sqrt(d)).exp(), math.sqrt(n) * value[i]) for i in range(n)]
