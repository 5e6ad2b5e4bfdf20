import math

import pytest
import torch
from torch import Tensor
from torch.nn.attention import flex_attention as torchs

from mnemon.ops import (
    Band,
    Common,
    Partial,
    context,
    flex,
    joint,
    partial_context,
    partial_dense,
    partial_flex,
    partial_shared,
)

B, H, T, D = 2, 3, 5, 4
FORMS = ["nothing", "bias", "bias of all", "span", "span and bias", "rows begin"]
# PyTorch says that it is slow where it is not compiled, and looks at gradients of what is no leaf while it traces.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*flex_attention.*"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of keys, and gradients on a CPU: PyTorch computes them there by its reference, but refuses to."""
    monkeypatch.setattr(flex, "BLOCK", 2)
    monkeypatch.setattr(torchs, "_validate_device", lambda *tensors: None)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def band(form: str, n: int, first: int = 1, last: int = 3) -> tuple[Band, list[Tensor]]:
    """A band, and what of it learns."""
    width = last - first + 1
    bias = {"bias": (1, H, 1), "bias of all": (B, H, T), "span and bias": (1, H, 1)}.get(form)
    learned = None if bias is None else drawn(*bias, width, seed=4)
    span = drawn(H, width, seed=5) if "span" in form else None
    weight = None if span is None else span.clamp(0, 1)  # about half of them 0
    valid = torch.arange(n) >= torch.tensor([[0], [n - 2]]) if form == "rows begin" else None
    return Band(first, last, learned, weight, valid), [x for x in (learned, span) if x is not None]


def both(form: str, n: int, shared: bool, **limits: int) -> list[list[Tensor]]:
    """Outputs and gradients, by FlexAttention and by the reference."""
    found = []
    for attend in (partial_flex, reference):
        q, k, v = drawn(B, H, T, D, seed=0), drawn(B, H, n, D, seed=1), drawn(B, H, n, D, seed=2)
        limit, learned = band(form, n, **limits)
        keys = [drawn(H, 7, D, seed=6), drawn(H, 7, D, seed=7)] if shared else []
        part = attend(q, k, v, limit, Common(2 * q, *keys) if shared else None)
        assert part.z is not None
        total = (part.o * drawn(B, H, T, D, seed=8).detach()).sum() + part.z[part.z > -math.inf].sin().sum()
        leaves = [q, k, v, *learned, *keys]
        found.append([part.o, part.z, *torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)])
    return found


def reference(q: Tensor, k: Tensor, v: Tensor, limit: Band, common: Common | None) -> Partial:
    bias, seen, weight = limit.spread(q.shape[2], k.shape[2], q.device)
    own = partial_dense(q, k, v, bias, seen, weight)
    return own if common is None else joint([own, partial_shared(common.q, common.k, common.v)])


@pytest.mark.parametrize(("form", "shared"), [(form, False) for form in FORMS] + [("bias", True), ("rows begin", True)])
def test_flex_attention_equals_the_reference(form: str, shared: bool) -> None:
    got, expected = both(form, 9, shared)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(("n", "first", "last"), [(T, 0, 40), (7, 3, 5)])
def test_flex_attention_sees_what_the_band_says(n: int, first: int, last: int) -> None:
    got, expected = both("bias", n, False, first=first, last=last)
    torch.testing.assert_close(got, expected)


def test_blocks_that_no_query_may_see_are_not_visited() -> None:
    count, numbers = flex._blocks(6, 10, 1, 3, torch.device("cpu"))  # queries 0, 1 stand at 4, 5 and see 1 to 4
    assert count.tolist() == [[[3, 3, 3]]]
    assert [row[:3] for row in numbers[0, 0].tolist()] == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert flex._blocks(4, 4, 4, 9, torch.device("cpu"))[0].tolist() == [[[0, 0]]]


def test_it_is_traced_as_one_graph_forward_and_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flex, "_attend", torch.compile(flex._attend, fullgraph=True, backend="aot_eager"))
    got, expected = both("span and bias", 9, True)
    torch.testing.assert_close(got, expected)


def test_the_context_on_a_gpu_goes_to_flex_attention_where_z_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "accelerated", lambda *tensors: True)
    taken: list[int] = []
    monkeypatch.setattr(context, "partial_flex", lambda *given: taken.append(len(given)) or partial_flex(*given))
    q, k, v = (drawn(1, H, 16, 16, seed=seed).detach() for seed in range(3))
    limit = Band(1, 3)
    for settings in ({}, {"weights": True}, {"dropout": 0.1}, {"merges": False}):
        partial_context(q, k, v, limit, **settings)
    partial_context(q[:, :, :8], k, v, limit)
    partial_context(q[..., :8], k[..., :8], v[..., :8], limit)
    assert len(taken) == 1
    torch.testing.assert_close(partial_context(q, k, v, limit).z, reference(q, k, v, limit, None).z)


@pytest.mark.gpu
@pytest.mark.parametrize("form", [form for form in FORMS if form != "bias of all"])
def test_compiled_flex_attention_equals_the_reference_on_a_gpu(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flex, "BLOCK", 128)
    limit, _ = band(form, 320, first=1, last=130)
    q, k, v = (drawn(B, H, n, 32, seed=seed).float() for seed, n in enumerate((192, 320, 320)))
    there = Band(1, 130, *(None if x is None else x.cuda().float() for x in (limit.bias, limit.weight)), limit.valid)
    there = there if limit.valid is None else Band(1, 130, there.bias, there.weight, limit.valid.cuda())
    part, expected = partial_flex(q.cuda(), k.cuda(), v.cuda(), there), reference(q, k, v, limit, None)
    torch.testing.assert_close(part.o.cpu().double(), expected.o.double(), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(part.z.cpu().double(), expected.z.double(), rtol=1e-2, atol=1e-2)  # type: ignore[union-attr]
