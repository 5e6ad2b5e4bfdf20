"""Persistent vectors put on a host, and prefixes of PEFT made of them and the other way round."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from mnemon.config import Problem, read_json, write_json
from mnemon.hosts.lanes import LaneMemory
from mnemon.hosts.memory import Memory
from mnemon.hosts.persistent import Persistent, random_persistent
from mnemon.hosts.reading import reading
from mnemon.hosts.rotary import rotate, unrotate
from mnemon.hosts.seam import Seam
from mnemon.hosts.support import attentions, family

CONFIG, WEIGHTS, EMBEDDINGS = "adapter_config.json", "adapter_model.safetensors", "prompt_embeddings"
Entries = tuple[Float[Tensor, "g p d"], Float[Tensor, "g p d"]]


def add_persistent(memory: Memory, size: int | None = None, text: str | None = None) -> None:
    """Give every layer that has a memory persistent vectors, which learn with the gates.

    `size` random ones under a gate of 0, without effect at the start, exactly; or those of a prompt `text`, with which
    a rotary host reads on as if the prompt stood before everything, exactly where every layer has a memory.
    """
    if (size is None) == (text is None):
        raise Problem("add_persistent: give the number of vectors, or a text to take them from")
    if size is not None and size < 1:
        raise Problem(f"add_persistent: {size} vectors; give at least 1")
    for seam, (keys, values) in zip(memory.seams, _entries(memory, text), strict=True):
        if text is None:
            assert size is not None
            like, heads = keys, memory.model.config.num_attention_heads
            _put(memory, seam, random_persistent(heads, len(keys), size, keys.shape[2], like))
        else:
            module, places = attentions(memory.model)[seam.layer], torch.arange(-keys.shape[1], 0, device=keys.device)
            found = seam.place.turn(places[None])
            standing = keys if found is None else rotate(module, keys[None], *found)[0]
            _put(memory, seam, Persistent(standing.clone(), values.clone(), None))


def export_prefix(memory: Memory, folder: Path | str) -> None:
    """Write persistent vectors as a prefix that PEFT loads on the plain host, which then computes the same.

    PEFT lets the text begin behind the prefix, so keys are turned on by its length: exact for rotary hosts. What has no
    such form is refused: vectors under a gate, layers without any, positions that are not rotary.
    """
    vectors = _all_vectors(memory)
    size, groups, dim = vectors[0].keys.shape[1], len(vectors[0].keys), vectors[0].keys.shape[2]
    rows = []
    for seam, each in zip(memory.seams, vectors, strict=True):
        keys = _turned(memory, seam, each.keys.detach(), torch.full((size,), size))
        rows += [keys, each.values.detach()]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = torch.stack(rows).permute(2, 0, 1, 3).reshape(size, -1)  # p, layers * 2 * g * d
    save_file({EMBEDDINGS: table.contiguous()}, folder / WEIGHTS)
    config = {
        "peft_type": "PREFIX_TUNING",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": memory.model.name_or_path,
        "inference_mode": True,
        "num_virtual_tokens": size,
        "num_layers": len(vectors),
        "num_attention_heads": groups,
        "token_dim": groups * dim,
        "num_transformer_submodules": 1,
        "encoder_hidden_size": groups * dim,
        "prefix_projection": False,
    }
    write_json(folder / CONFIG, config)


def import_prefix(memory: Memory, folder: Path | str) -> None:
    """Take over a prefix that PEFT saved for this host: the same host without PEFT then computes the same."""
    folder = Path(folder)
    values = read_json(folder / CONFIG)
    kind = values.get("peft_type") if isinstance(values, dict) else None
    if kind != "PREFIX_TUNING":
        raise Problem(f"{folder}: an adapter of kind {kind}, not a prefix")
    table = load_file(folder / WEIGHTS).get(EMBEDDINGS)
    shapes = _entries(memory, None)
    (groups, _, dim), layers = shapes[0][0].shape, len(attentions(memory.model))
    _check_places(memory)
    if table is None or table.shape[1] != layers * 2 * groups * dim:
        raise Problem(f"{folder}: not a prefix of {layers} layers with {groups} key/value heads of width {dim}")
    rows = table.view(len(table), layers, 2, groups, dim).permute(1, 2, 3, 0, 4).to(shapes[0][0])
    for seam, (keys, found) in zip(memory.seams, rows, strict=True):
        _put(memory, seam, Persistent(_turned(memory, seam, keys, torch.full((len(table),), -len(table))), found, None))


def _entries(memory: Memory, text: str | None) -> list[Entries]:
    """Un-rotated keys and values of a text in each layer that has a memory; of a single token without a text."""
    ids = torch.zeros(1, 1, dtype=torch.long)
    if text is not None:
        if memory.tokenizer is None:
            raise Problem("add_persistent: a text needs a tokenizer; attach(model, tokenizer)")
        ids = memory.tokenizer(text, return_tensors="pt")["input_ids"]
        if not ids.shape[1]:
            raise Problem("add_persistent: the text has no token")
    lanes = LaneMemory(memory, 1)
    with reading(memory.model), lanes.live():
        lanes.begin()
        memory.model.base_model(input_ids=ids.to(memory.model.device), use_cache=False)
        return [(k[0], v[0]) for k, v in (lanes.fresh[layer] for layer in memory.layers)]


def _turned(memory: Memory, seam: Seam, keys: Float[Tensor, "g p d"], by: Tensor) -> Float[Tensor, "g p d"]:
    """Keys turned on by so many positions each, as this host turns them; a scaled rotation's factor is not applied."""
    module, by = attentions(memory.model)[seam.layer], by.to(keys.device)[None]
    found, none = seam.place.turn(by), seam.place.turn(torch.zeros_like(by))
    if found is None or none is None:
        return keys.clone()
    return unrotate(module, rotate(module, keys[None], *found), *none)[0]


def _put(memory: Memory, seam: Seam, vectors: Persistent) -> None:
    module: Any = attentions(memory.model)[seam.layer]
    module.memory_gate.persistent = vectors


def persistent_of(memory: Memory, seam: Seam) -> Persistent | None:
    """The persistent vectors of one layer."""
    module: Any = attentions(memory.model)[seam.layer]
    found: Persistent | None = module.memory_gate.persistent
    return found


def _all_vectors(memory: Memory) -> list[Persistent]:
    """The vectors of every layer, which have a form in PEFT; a `Problem` where they have none."""
    _check_places(memory)
    found = [persistent_of(memory, seam) for seam in memory.seams]
    vectors = [each for each in found if each is not None]
    if len(vectors) < len(found):
        raise Problem("there are no persistent vectors to export: add_persistent gives some")
    if any(each.gate is not None for each in vectors):
        raise Problem("PEFT has no gate on a prefix: only vectors without one, as those of a text, can be exported")
    return vectors


def _check_places(memory: Memory) -> None:
    layers = len(attentions(memory.model))
    if len(memory.layers) < layers:
        raise Problem(
            f"a prefix of PEFT is in each of {layers} layers, and {len(memory.layers)} have a memory: attach with "
            "layers='all', to a host without sliding windows"
        )
    if family(memory.model).places is not None:
        raise Problem("a prefix of PEFT moves the text on, and this host's positions are in its hidden states")
