import math

import pytest
import torch
from torch import Tensor, nn

from mnemon.model import EmbeddingConfig, HeadConfig, head
from mnemon.model.embedding import AdaptiveEmbedding, PlainEmbedding
from mnemon.model.head import AdaptiveHead, LinearHead

B, T, E, V = 2, 5, 12, 15


def plain() -> PlainEmbedding:
    torch.manual_seed(0)
    return PlainEmbedding(V, E, 1.0)


def hidden() -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(B, T, E, generator=draw, dtype=torch.float64).requires_grad_()


TARGETS = torch.tensor([[0, 3, 4, -1, 8], [14, -100, 9, 5, -7]])  # each cluster below, and tokens without a target


@pytest.mark.parametrize(("divide_by", "divisor"), [("one", 1.0), ("sqrt-dim", E**0.5), ("sqrt-vocab", V**0.5)])
def test_tied_logits_are_the_product_with_the_table(divide_by: str, divisor: float) -> None:
    embedding = plain().double()
    made = HeadConfig(divide_by=divide_by).build(embedding, V, E).double()
    torch.testing.assert_close(made.logits(hidden()), hidden() @ embedding.table.T / divisor)
    assert list(made.parameters()) == []


def test_untied_logits_have_their_own_weight_and_bias() -> None:
    made = HeadConfig(tied=False, bias=True).build(plain(), V, E).double()
    made.bias.data.normal_()
    torch.testing.assert_close(made.logits(hidden()), hidden() @ made.weight.T + made.bias)


def test_an_untied_head_may_start_from_uniform_predictions() -> None:
    made = HeadConfig(tied=False, start=0.0).build(plain(), V, E).double()
    losses = made.nll(hidden(), TARGETS.clamp(min=0))
    torch.testing.assert_close(losses, torch.full((B, T), math.log(V), dtype=torch.float64))


@pytest.fixture(params=["linear", "adaptive"])
def made(request: pytest.FixtureRequest) -> LinearHead | AdaptiveHead:
    torch.manual_seed(0)
    if request.param == "linear":
        found = LinearHead(V, E, None, bias=True, divisor=1.0)
        found.bias.data.normal_()
        return found.double()
    return adaptive()[1]


def adaptive(cutoffs: tuple[int, ...] = (4, 9), divide: int = 2) -> tuple[AdaptiveEmbedding, AdaptiveHead]:
    torch.manual_seed(0)
    embedding = EmbeddingConfig(kind="adaptive", cutoffs=cutoffs, divide=divide).build(V, E).double()
    assert isinstance(embedding, AdaptiveEmbedding)
    found = HeadConfig().build(embedding, V, E).double()
    for parameter in found.parameters():
        parameter.data.normal_()
    return embedding, found


def test_losses_are_the_negative_log_softmax_of_the_targets(made: LinearHead | AdaptiveHead) -> None:
    losses = made.nll(hidden(), TARGETS)
    expected = -made.logits(hidden()).log_softmax(-1)
    for row, token in TARGETS.clamp(min=0).nonzero():
        torch.testing.assert_close(losses[row, token], expected[row, token, TARGETS[row, token]])
    assert losses.shape == (B, T)


def test_tokens_without_a_target_lose_nothing_and_teach_nothing(made: LinearHead | AdaptiveHead) -> None:
    h = hidden()
    losses = made.nll(h, TARGETS)
    assert bool((losses[TARGETS < 0] == 0).all())
    assert bool((losses[TARGETS >= 0] > 0).all())
    (gradient,) = torch.autograd.grad(losses.sum(), h)
    assert not bool(gradient[TARGETS < 0].any())
    assert bool(gradient[TARGETS >= 0].any(-1).all())


def test_a_batch_without_any_target_has_zero_loss_with_finite_gradients(made: LinearHead | AdaptiveHead) -> None:
    losses = made.nll(hidden(), torch.full((B, T), -100))
    losses.sum().backward()
    assert not bool(losses.any())
    assert all(bool(p.grad.isfinite().all()) for p in made.parameters() if p.grad is not None)


def test_losses_are_the_same_in_chunks(made: LinearHead | AdaptiveHead, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made.nll(hidden(), TARGETS)
    monkeypatch.setattr(head, "CHUNK", 3)
    torch.testing.assert_close(made.nll(hidden(), TARGETS), whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_losses_and_logits_are_float32_in_any_lower_precision(
    made: LinearHead | AdaptiveHead, dtype: torch.dtype
) -> None:
    exact = made.nll(hidden(), TARGETS)
    if isinstance(made, AdaptiveHead):
        made.tied[0].to(dtype)
    low = made.to(dtype).nll(hidden().to(dtype), TARGETS)
    assert low.dtype == torch.float32
    assert made.logits(hidden().to(dtype)).dtype == torch.float32
    torch.testing.assert_close(low.double(), exact, atol=0.3 if dtype == torch.bfloat16 else 1e-4, rtol=0.05)


def by_loops(embedding: AdaptiveEmbedding, found: AdaptiveHead, h: Tensor, cuts: list[int]) -> Tensor:
    """log p of every word for one hidden state: p(cluster) p(word | cluster)."""

    def score(word: int, cluster: int) -> Tensor:
        place = word - cuts[cluster]
        wide = embedding.tables[cluster][place]
        if len(embedding.projections):
            wide = embedding.projections[cluster].weight @ wide
        return h @ wide + found.bias[cluster][place]

    tails = range(1, len(cuts) - 1)
    first = [score(word, 0) for word in range(cuts[1])]
    clusters = [h @ found.clusters[i - 1] + found.cluster_bias[i - 1] for i in tails]
    head_scores = torch.stack(first + clusters).log_softmax(0)
    words = list(head_scores[: cuts[1]])
    for i in tails:
        inside = torch.stack([score(word, i) for word in range(cuts[i], cuts[i + 1])]).log_softmax(0)
        words += [head_scores[cuts[1] + i - 1] + x for x in inside]
    return torch.stack(words)


@pytest.mark.parametrize(("cutoffs", "divide"), [((4, 9), 2), ((4, 9, 40), 2), ((20,), 2), ((4, 9), 1)])
def test_adaptive_softmax_equals_the_full_softmax_in_values_and_gradients(
    cutoffs: tuple[int, ...], divide: int
) -> None:
    embedding, found = adaptive(cutoffs, divide)
    h = hidden()
    cuts = [0, *(cut for cut in cutoffs if cut < V), V]
    full = torch.stack([torch.stack([by_loops(embedding, found, x, cuts) for x in row]) for row in h])
    torch.testing.assert_close(full.exp().sum(-1), torch.ones(B, T).double())
    torch.testing.assert_close(found.logits(h), full)
    expected = -full.gather(-1, TARGETS.clamp(min=0)[..., None]).squeeze(-1) * (TARGETS >= 0)
    losses = found.nll(h, TARGETS)
    torch.testing.assert_close(losses, expected)
    leaves = [h, *embedding.parameters(), *(p for p in found.parameters() if p.numel())]
    uneven = torch.arange(1.0, B * T + 1).view(B, T)
    torch.testing.assert_close(
        torch.autograd.grad((losses * uneven).sum(), leaves), torch.autograd.grad((expected * uneven).sum(), leaves)
    )


def test_tied_weights_are_counted_once() -> None:
    embedding, found = adaptive()
    model = nn.ModuleList([embedding, found])
    assert (
        sum(p.numel() for p in model.parameters())
        == (4 * 12 + 5 * 6 + 6 * 3) + (12 * 12 + 12 * 6 + 12 * 3) + 2 * 13 + V
    )
