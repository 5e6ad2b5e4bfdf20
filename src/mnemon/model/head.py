import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mnemon.config import Config
from mnemon.model.embedding import AdaptiveEmbedding, PlainEmbedding
from mnemon.ops import wide

CHUNK = 8192  # tokens whose logits are held at once


class LinearHead(nn.Module):
    """logits = h W^T / divisor (+ bias); W is the embedding table where tied."""

    def __init__(self, vocab_size: int, dim: int, tied: PlainEmbedding | None, bias: bool, divisor: float):
        super().__init__()
        self.divisor = divisor
        self.tied = [tied] if tied is not None else []  # in a list: the table stays the embedding's parameter
        self.weight = None if tied is not None else nn.Parameter(torch.randn(vocab_size, dim) / math.sqrt(dim))
        self.bias = nn.Parameter(torch.zeros(vocab_size)) if bias else None

    def logits(self, hidden: Float[Tensor, "*b e"]) -> Float[Tensor, "*b vocabulary"]:
        """Unnormalised log probabilities, in float32 at least."""
        weight = self.tied[0].table if self.weight is None else self.weight
        return wide(nn.functional.linear(hidden / self.divisor, weight, self.bias))

    def nll(self, hidden: Float[Tensor, "b t e"], targets: Int[Tensor, "b t"]) -> Float[Tensor, "b t"]:
        """-log p(target) in nats; 0 where the target is negative."""
        flat, wanted = hidden.flatten(0, 1), targets.flatten()
        losses = [
            nn.functional.cross_entropy(self.logits(h), y.masked_fill(y < 0, -100), reduction="none", ignore_index=-100)
            for h, y in zip(flat.split(CHUNK), wanted.split(CHUNK), strict=True)
        ]
        return torch.cat(losses).view(targets.shape)


class AdaptiveHead(nn.Module):
    """p(w) = p(cluster) p(w | cluster), with the embedding's tables and projections as output weights.

    Head logits: the words of cluster 0 and one row for each tail cluster, h [E_0 P_0^T ; C]^T + bias. Tail i:
    h P_i E_i^T + bias_i, computed only for targets in it. 1907.01470, released code (WikiText-103): tied to the
    input, a bias for every word, extra head rows for the tails.
    Deviation: tail i reads extra row i; the released code reads them in reverse order.
    """

    def __init__(self, embedding: AdaptiveEmbedding):
        super().__init__()
        self.tied = [embedding]
        tails = len(embedding.bounds) - 1
        self.clusters = nn.Parameter(torch.randn(tails, embedding.dim) / math.sqrt(embedding.dim))
        self.cluster_bias = nn.Parameter(torch.zeros(tails))
        self.bias = nn.ParameterList(nn.Parameter(torch.zeros(last - first)) for first, last in embedding.bounds)

    def _words(self, hidden: Float[Tensor, "n e"], cluster: int) -> Float[Tensor, "n words"]:
        embedding = self.tied[0]
        if len(embedding.projections):
            project = embedding.projections[cluster].weight
            assert isinstance(project, Tensor)
            hidden = hidden @ project.to(hidden.dtype)
        return nn.functional.linear(hidden, embedding.tables[cluster], self.bias[cluster])

    def _head(self, hidden: Float[Tensor, "n e"]) -> Float[Tensor, "n words"]:
        tails = nn.functional.linear(hidden, self.clusters, self.cluster_bias)
        return wide(torch.cat([self._words(hidden, 0), tails], dim=-1)).log_softmax(-1)

    def logits(self, hidden: Float[Tensor, "*b e"]) -> Float[Tensor, "*b vocabulary"]:
        """Log probabilities of the whole vocabulary, in float32 at least."""
        flat = hidden.reshape(-1, hidden.shape[-1])
        head = self._head(flat)
        n_words = len(self.bias[0])
        columns = [head[:, :n_words]]
        for i in range(1, len(self.bias)):
            columns.append(head[:, n_words + i - 1, None] + wide(self._words(flat, i)).log_softmax(-1))
        return torch.cat(columns, dim=-1).view(*hidden.shape[:-1], -1)

    def nll(self, hidden: Float[Tensor, "b t e"], targets: Int[Tensor, "b t"]) -> Float[Tensor, "b t"]:
        """-log p(target) in nats; 0 where the target is negative."""
        flat, wanted = hidden.flatten(0, 1), targets.flatten()
        head = self._head(flat)
        n_words = len(self.bias[0])
        loss = head.new_zeros(len(flat))
        for i, (first, last) in enumerate(self.tied[0].bounds):
            inside = ((wanted >= first) & (wanted < last)).nonzero().squeeze(1)
            column = wanted[inside] if i == 0 else torch.full_like(inside, n_words + i - 1)
            found = head[inside].gather(1, column[:, None]).squeeze(1)
            if i:
                words = wide(self._words(flat[inside], i)).log_softmax(-1)
                found = found + words.gather(1, (wanted[inside] - first)[:, None]).squeeze(1)
            loss = loss.index_copy(0, inside, -found)
        return loss.view(targets.shape)


class HeadConfig(Config):
    """`tied`: the embedding's table is the output weight. `divide_by`: what tied logits are divided by.

    `start`: standard deviation factor of an untied weight at the start (0: uniform predictions).
    """

    tied: bool = True
    bias: bool = False
    divide_by: Literal["one", "sqrt-dim", "sqrt-vocab"] = "one"
    start: float = 1.0

    def build(self, embedding: PlainEmbedding | AdaptiveEmbedding, vocab_size: int, dim: int) -> nn.Module:
        if isinstance(embedding, AdaptiveEmbedding):
            return AdaptiveHead(embedding)
        divisor = {"one": 1.0, "sqrt-dim": math.sqrt(dim), "sqrt-vocab": math.sqrt(vocab_size)}[self.divide_by]
        head = LinearHead(vocab_size, dim, embedding if self.tied else None, self.bias, divisor)
        if head.weight is not None:
            head.weight.data.mul_(self.start)
        return head
