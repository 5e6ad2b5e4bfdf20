from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mnemon.config import Problem
from mnemon.data import load_corpus
from mnemon.model import Transformer
from mnemon.model.attention import Attention, unit
from mnemon.train import load_run


def vectors_of(run: Path, size: int, file: str) -> tuple[int, int, int]:
    """Write to `file` the keys, values and queries that a run's model makes of what it was trained on; their shape.

    Those of its first layer with a kNN memory, [h n d], at most `size` of them, while it reads without one.
    """
    trained = load_run(run)
    knn = trained.model.config.pools.knn
    if knn is None:
        raise Problem(f"{run}: this model has no kNN memory")
    corpus = load_corpus(trained.config.data.source, trained.config.data)
    parts: list[dict[str, Tensor]] = []
    for document in corpus.split("train"):
        ids = torch.as_tensor(trained.tokenizer.encode(document.text)).long()
        parts += _read(trained.model, ids, knn.layers[0])
        if sum(part["keys"].shape[1] for part in parts) >= size:
            break
    kept = {name: torch.cat([part[name] for part in parts], 1)[:, :size].contiguous() for name in parts[0]}
    save_file(kept, file)
    heads, size, dim = kept["keys"].shape
    return heads, size, dim


@torch.no_grad()
def _read(model: Transformer, ids: Tensor, layer: int) -> list[dict[str, Tensor]]:
    """What one layer makes of a document, segment by segment."""
    attention, segment, parts = model.blocks[layer].attention, model.config.segment, []
    assert isinstance(attention, Attention)
    state = model.init_state(1, 0)
    for first in range(0, len(ids), segment):
        _, update = model(ids[None, first : first + segment], state)
        fresh = update[layer]
        q = attention.q(fresh.x).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        q = unit(q) if attention.config.qk_norm else q
        parts.append({"keys": fresh.k[0], "values": fresh.v[0], "queries": q[0, : attention.heads]})
        state.commit(update)
    return parts
