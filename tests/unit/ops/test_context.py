import pytest
import torch

from mnemon.ops import Band, Common, context, joint, partial_context, partial_dense, partial_learned, partial_shared

B, H, T, N, D, M = 2, 3, 20, 26, 4, 7


def made() -> tuple[list[torch.Tensor], Common, Band]:
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(B, H, n, D, generator=draw).requires_grad_() for n in (T, N, N))
    keys, values = (torch.randn(H, M, D, generator=draw) for _ in range(2))
    return [q, k, v], Common(q, keys, values), Band(1, 9, torch.randn(1, H, 1, 9, generator=draw))


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("merges", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_every_path_gives_the_same(blocked: bool, merges: bool, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    qkv, common, band = made()
    monkeypatch.setattr(context, "SCORES", 0 if blocked else 1 << 30)
    part = partial_context(*qkv, band, common if shared else None, merges=merges)
    bias, seen, _ = band.spread(T, N, qkv[0].device)
    plain = partial_dense(*qkv, bias, seen)
    plain = joint([plain, partial_shared(common.q, common.k, common.v)]) if shared else plain
    torch.testing.assert_close(part.o, plain.o)
    if merges:
        torch.testing.assert_close(part.z, plain.z)
    found, expected = (torch.autograd.grad(each.o.square().sum(), qkv) for each in (part, plain))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("merges", "span", "has_z"), [(True, False, True), (False, True, True), (False, False, False)])
def test_few_queries_take_a_path_with_z_where_z_or_a_span_is_wanted(merges: bool, span: bool, has_z: bool) -> None:
    (q, k, v), _, _ = made()
    weight = torch.rand(H, 9) if span else None
    part = partial_context(q[:, :, :3], k, v, Band(1, 9, weight=weight), merges=merges)
    assert (part.z is not None) == has_z


def test_weights_are_told_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "SCORES", 0)
    qkv, _, band = made()
    part = partial_context(*qkv, band, weights=True)
    assert part.weights is not None
    assert part.weights.shape == (B, H, T, N)


def test_dropout_acts_on_all_weights_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "SCORES", 0)
    (q, k, v), common, band = made()
    torch.manual_seed(0)
    ones = torch.ones_like(common.v)
    part = partial_context(q, k, torch.ones_like(v), band, Common(q, common.k, ones), dropout=0.5)
    assert 0.9 < part.o.mean().item() < 1.1
    assert part.o.std().item() > 0.1


@pytest.mark.parametrize("blocked", [False, True])
def test_learned_keys_alone_are_answered_alike_on_every_path(blocked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "LEARNED", 0 if blocked else 1 << 30)
    (q, _, _), common, _ = made()
    given = [q, common.k.requires_grad_(), common.v.requires_grad_()]
    found, plain = partial_learned(*given), partial_shared(*given)
    assert found.z is not None
    assert plain.z is not None
    torch.testing.assert_close((found.o, found.z), (plain.o, plain.z))
    slopes = (
        torch.autograd.grad((each.o.square().sum(2) + each.z.sin().sum()).sum(), given) for each in (found, plain)
    )
    torch.testing.assert_close(*slopes, atol=1e-4, rtol=1e-4)
    assert (found.weights is None) == blocked
    assert partial_learned(*given, weights=True).weights is not None
