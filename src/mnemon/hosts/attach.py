import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mnemon.config import Problem
from mnemon.hosts.attention import NAME
from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.gate import HeadGate
from mnemon.hosts.memory import Memory
from mnemon.hosts.placing import Place
from mnemon.hosts.rotary import angles
from mnemon.hosts.seam import Seam, seam_of
from mnemon.hosts.support import attentions, family, window

DEPTH = 3 / 4  # where `layers="auto"` puts the memory: the ninth of twelve layers in arXiv 2203.08913


def attach(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None = None, **settings: Any) -> Memory:
    """Give a decoder a memory, and get the object that reads documents into it. `settings`: see `MemoryConfig`.

    With an empty memory the model computes what it did before, bit for bit; `detach` makes it what it was.
    """
    config = MemoryConfig.parse(settings, "attach")
    family(model)
    modules = attentions(model)
    if any(seam_of(module) for module in modules.values()):
        raise Problem("this model has a memory already: detach it first")
    memory = Memory(model, tokenizer, config, _chosen(config, modules))
    memory.seams += [_sewn(model, modules[layer], layer, memory) for layer in memory.layers]
    memory.seams[0].handles.append(model.register_forward_pre_hook(memory.citing.calls, with_kwargs=True))
    return memory


def detach(model: PreTrainedModel) -> None:
    """Take the memory off: the model is exactly what it was before `attach`."""
    found = [(module, seam) for module in attentions(model).values() if (seam := seam_of(module))]
    if not found:
        raise Problem("this model has no memory to detach")
    for module, seam in found:
        host: Any = module
        host.config = seam.shared
        del host.memory_seam, host.memory_gate
        for handle in seam.handles:
            handle.remove()


def _sewn(model: PreTrainedModel, module: nn.Module, layer: int, memory: Memory) -> Seam:
    """The seam of one layer, whose attention asks the memory from now on."""
    shared: Any = module.config
    gate = HeadGate(shared.num_attention_heads, memory.config, next(module.parameters()).device)
    place = Place(memory.config, partial(angles, model, module))
    seam = Seam(layer, shared, memory.config, memory.source, place, gate)
    own: Any = copy.copy(shared)
    own._attn_implementation_internal = NAME
    host: Any = module
    host.memory_seam, host.memory_gate, host.config = seam, gate, own
    seam.handles.append(module.register_forward_pre_hook(_note_angles, with_kwargs=True))
    return seam


def _note_angles(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Keep the cosines and sines that this forward rotates by."""
    seam = seam_of(module)
    assert seam is not None
    seam.place.angles = kwargs.get("position_embeddings")


def _chosen(config: MemoryConfig, modules: Mapping[int, nn.Module]) -> tuple[int, ...]:
    """The layers that get a memory: among those that see everything, for a sliding window is there to be kept."""
    full = [layer for layer, module in modules.items() if window(module) is None]
    if not full:
        raise Problem("every layer of this model has a sliding window, which it keeps: none can be given a memory")
    if config.layers == "all":
        return tuple(full)
    if config.layers == "auto":
        wanted = round(DEPTH * len(modules)) - 1
        return (min(full, key=lambda layer: (abs(layer - wanted), layer)),)
    for layer in config.layers:
        if layer not in modules:
            raise Problem(f"layer {layer}: this model has layers 0 to {max(modules)}")
        if layer not in full:
            raise Problem(f"layer {layer} has a sliding window, which it keeps: choose among {full}")
    return tuple(sorted(set(config.layers)))
