import copy
import sys
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

from foreign import FAMILIES, foreign, tokens
from mnemon.hosts.rotary import angles, rotate, unrotate
from mnemon.hosts.support import FAMILIES as ROWS
from mnemon.hosts.support import family

ROTARY = [name for name, (kind, _) in FAMILIES.items() if ROWS[kind].rotation != "none"]


class Call(NamedTuple):
    module: nn.Module
    q: Tensor
    k: Tensor
    angles: Any


def calls(model: PreTrainedModel, ids: Tensor, positions: Tensor) -> list[Call]:
    """What each layer of a host hands to its attention function, and the angles that it was given."""
    seen: list[Call] = []
    given: dict[nn.Module, Any] = {}

    def spy(module: nn.Module, q: Tensor, k: Tensor, v: Tensor, attention_mask: Any, **kwargs: Any) -> Any:
        seen.append(Call(module, q, k, given[module]))
        eager = sys.modules[type(module).__module__].eager_attention_forward
        return ALL_ATTENTION_FUNCTIONS.get_interface("eager", eager)(module, q, k, v, attention_mask, **kwargs)

    def keep(module: nn.Module, args: Any, kwargs: Any) -> None:
        given[module] = kwargs.get("position_embeddings")

    AttentionInterface.register("spy", spy)
    for module in model.modules():
        if isinstance(getattr(module, "layer_idx", None), int) and hasattr(module, "is_causal"):
            module.config = copy.copy(module.config)
            module.config._attn_implementation_internal = "spy"
            module.register_forward_pre_hook(keep, with_kwargs=True)
    with torch.no_grad():
        model(ids, position_ids=positions)
    return seen


@pytest.mark.parametrize("name", FAMILIES)
def test_turning_back_undoes_turning_at_any_position(name: str) -> None:
    model = foreign(name)
    positions = torch.tensor([[-7, 0, 3, 40, 1], [2, 90, 5, 5, 11]])
    for call in calls(model, tokens(2, 5), torch.arange(5)[None]):
        found = angles(model, call.module, positions) or (None, None)
        x = torch.randn(2, 3, 5, call.k.shape[-1], dtype=torch.float64)
        assert torch.allclose(unrotate(call.module, rotate(call.module, x, *found), *found), x, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ROTARY)
def test_angles_are_those_the_host_uses(name: str) -> None:
    model = foreign(name)
    positions = torch.tensor([[0, 4, 5, 31, 9], [3, 1, 2, 7, 50]])
    for call in calls(model, tokens(2, 5), positions):
        found = angles(model, call.module, positions)
        if found is None:
            continue
        cos, sin = call.angles
        torch.testing.assert_close(found, (cos.expand_as(found[0]), sin.expand_as(found[1])), rtol=0, atol=0)


@pytest.mark.parametrize("name", ROTARY)
def test_keys_and_queries_without_position_are_the_same_wherever_they_stood(name: str) -> None:
    # The first layer sees the same tokens at other places; later ones have attended, by distances that did not change.
    model = foreign(name)
    ids, near, far = tokens(1, 5), torch.arange(5)[None], torch.arange(5)[None] + 40
    moved = 0.0
    for here, there in zip(calls(model, ids, near), calls(foreign(name), ids, far), strict=True):
        for x, y in ((here.q, there.q), (here.k, there.k)):
            raw = unrotate(here.module, x, *(angles(model, here.module, near) or (None, None)))
            other = unrotate(here.module, y, *(angles(model, here.module, far) or (None, None)))
            # Angles are of float32, and with them every layer after the first.
            torch.testing.assert_close(raw, other, rtol=0, atol=1e-4 if here.module.layer_idx else 1e-6)
            moved = max(moved, float((x - y).abs().max()))
    assert moved > 0.1


@pytest.mark.parametrize("name", ROTARY)
def test_turning_by_the_hosts_angles_is_what_the_host_does(name: str) -> None:
    model = foreign(name)
    turned = 0
    for call in calls(model, tokens(2, 5), torch.tensor([[0, 4, 5, 31, 9], [3, 1, 2, 7, 50]])):
        if not family(model).turns(call.module):
            continue
        function = sys.modules[type(call.module).__module__].apply_rotary_pos_emb
        cos, sin = call.angles
        width = cos.shape[-1] * (2 if family(model).angles == "once" else 1)
        x = torch.randn(2, 3, 5, call.k.shape[-1], dtype=torch.float32).double()
        expected = torch.cat((function(x[..., :width], x[..., :width], cos, sin)[0], x[..., width:]), dim=-1)
        # Ernie turns in float32 what is of float64.
        closeness = 1e-6 if cos.dtype == torch.float32 else 1e-12
        torch.testing.assert_close(rotate(call.module, x, cos, sin), expected, rtol=0, atol=closeness)
        turned += 1
    assert turned


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_turning_rounds_once_in_half_precision(dtype: torch.dtype) -> None:
    model = foreign("llama", dtype=dtype)
    attention = calls(model, tokens(1, 5), torch.arange(5)[None])[0].module
    found = angles(model, attention, torch.arange(5)[None])
    x = torch.randn(1, 2, 5, 8).to(dtype)
    again = unrotate(attention, rotate(attention, x, *found), *found)
    assert again.dtype == dtype
    torch.testing.assert_close(again, x, rtol=0, atol=4 * torch.finfo(dtype).eps)


def test_frequencies_that_grew_with_the_text_are_those_in_force() -> None:
    grows = {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0}
    model = foreign("llama", rope_parameters=grows, max_position_embeddings=8)
    places = torch.tensor([[0, 4, 5, 31, 9]])
    (first, *_) = calls(model, tokens(1, 5), places)
    found = angles(model, first.module, places)
    assert found is not None
    torch.testing.assert_close(found, first.angles, rtol=0, atol=0)
    (fresh, *_) = calls(foreign("llama"), tokens(1, 5), places)
    assert not torch.equal(first.angles[0], fresh.angles[0])
    asked = angles(model, first.module, torch.tensor([[200]]))
    assert asked is not None
    again = angles(model, first.module, places)
    torch.testing.assert_close(again, found, rtol=0, atol=0)
