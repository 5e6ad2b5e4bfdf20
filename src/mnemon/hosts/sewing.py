"""How single layers of a host get a seam, and are freed of it."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from mnemon.config import Problem
from mnemon.hosts.attention import NAME
from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.gate import HeadGate
from mnemon.hosts.placing import Place
from mnemon.hosts.rotary import angles
from mnemon.hosts.seam import Seam, Source, seam_of, uncompiled
from mnemon.hosts.support import attentions, family, window

DEPTH = 3 / 4  # where `layers="auto"` puts the memory: the ninth of twelve layers in arXiv 2203.08913


def seams(model: nn.Module) -> list[Seam]:
    """The seams of a model that has a memory, from the lowest layer on."""
    return [seam for module in attentions(model).values() if (seam := seam_of(module))]


def sew(model: PreTrainedModel, config: MemoryConfig, source: Source) -> list[Seam]:
    """Let the attention of the layers that `config` chooses ask `source` from now on."""
    modules = attentions(model)
    return [_sewn(model, modules[layer], layer, config, source) for layer in _chosen(config, modules)]


def unpick(model: nn.Module) -> None:
    """Take off everything that `sew` put on, and the hooks that were noted down in its seams."""
    for module in attentions(model).values():
        seam, host = seam_of(module), cast(Any, module)
        if seam is not None:
            host.config = seam.shared
            del host.memory_seam, host.memory_gate
            for handle in seam.handles:
                handle.remove()


def _sewn(model: PreTrainedModel, module: nn.Module, layer: int, config: MemoryConfig, source: Source) -> Seam:
    shared: Any = module.config
    gate = HeadGate(shared.num_attention_heads, config, next(module.parameters()).device)
    seam = Seam(layer, shared, config, source, Place(config, partial(angles, model, module)))
    own, host = copy.copy(shared), cast(Any, module)
    own._attn_implementation_internal = NAME
    host.memory_seam, host.memory_gate, host.config = seam, gate, own
    if family(model).turns(module):
        seam.handles.append(module.register_forward_pre_hook(_note_angles, with_kwargs=True))
    return seam


@uncompiled
def _note_angles(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Keep the cosines and sines that this forward rotates by."""
    seam = seam_of(module)
    assert seam is not None
    seam.place.angles = kwargs.get("position_embeddings")


def _chosen(config: MemoryConfig, modules: Mapping[int, nn.Module]) -> tuple[int, ...]:
    """The layers that get a memory: among those that see everything, for a sliding window is there to be kept."""
    full = [layer for layer, module in modules.items() if window(module) is None]
    if not full:
        raise Problem(
            "every layer of this model has a sliding window, which it keeps: none can be given a memory, unless the "
            "model is loaded with sliding_window=None"
        )
    if config.layers == "all":
        return tuple(full)
    if config.layers == "auto":
        wanted = round(DEPTH * (max(modules) + 1)) - 1
        return (min(full, key=lambda layer: (abs(layer - wanted), layer)),)
    for layer in config.layers:
        if layer not in modules:
            raise Problem(f"layer {layer} is none with attention: choose among {full}")
        if layer not in full:
            raise Problem(f"layer {layer} has a sliding window, which it keeps: choose among {full}")
    return tuple(sorted(set(config.layers)))
