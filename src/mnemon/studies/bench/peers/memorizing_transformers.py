"""Training steps of PyPI's memorizing-transformers-pytorch, one round for each line on standard input.

Run as a file by the interpreter of `.venv-peers`. The package runs in float32 alone: bfloat16 raises a TypeError in it.
Its memory empties itself when it should hold more than its capacity, so it is filled up to what the rounds will add.
"""

import importlib.metadata
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import faiss
import torch
from memorizing_transformers_pytorch import MemorizingTransformer
from memorizing_transformers_pytorch.knn_memory import KNNMemory

FILL = 512  # entries a row inserted at once
VERSIONS = ("memorizing-transformers-pytorch", "faiss-cpu", "torch")


def build(shape: dict[str, Any]) -> MemorizingTransformer:
    """The model of the same width, depth, heads, cache and memory."""
    return MemorizingTransformer(
        num_tokens=shape["vocabulary"],
        dim=shape["dim"],
        depth=shape["layers"],
        heads=shape["heads"],
        dim_head=shape["head_dim"],
        ff_mult=shape["feedforward"] // shape["dim"],
        memorizing_layers=tuple(layer + 1 for layer in shape["memory_layers"]),
        max_knn_memories=shape["memory"],
        num_retrieved_memories=shape["top_k"],
        xl_max_memories=shape["cache"],
    )


def fill(memories: Sequence[KNNMemory], entries: int, head_dim: int, draw: torch.Generator) -> None:
    """Insert unit keys, as the model's own are, until each row holds `entries`."""
    for memory in memories:
        for begun in range(0, entries, FILL):
            count = min(FILL, entries - begun)
            pairs = torch.randn(memory.num_indices, count, 2, head_dim, generator=draw)
            memory.add(torch.nn.functional.normalize(pairs, dim=-1))


class Training:
    """The model, its optimiser, and what the rows remember."""

    def __init__(self, shape: dict[str, Any], memories: Sequence[KNNMemory]):
        self.shape, self.memories = shape, memories
        self.model = build(shape)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.draw = torch.Generator().manual_seed(shape["seed"])
        # Its own first cache would be made of the first segment; this is what later ones look like.
        cache = torch.zeros(shape["lanes"], shape["cache"], 2, shape["head_dim"])
        self.cache = [cache] * shape["layers"] if shape["cache"] else None

    def step(self) -> None:
        """Forward, backward, optimiser; the package writes to its memory in the forward."""
        size = (self.shape["lanes"], self.shape["segment"])
        tokens = torch.randint(1, self.shape["vocabulary"], size, generator=self.draw)  # 0 is its padding
        found = self.model(tokens, self.memories, xl_memories=self.cache, labels=tokens.roll(-1, 1))
        loss, self.cache = found if self.cache is not None else (found, None)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def stored(self) -> list[int]:
        """Entries in the index of each memory's first row."""
        return [memory.knns[0].index.ntotal for memory in self.memories]


def main(shape: dict[str, Any]) -> None:
    """Answer one line when the memory is filled and a step was made, then one a round."""
    torch.set_num_threads(shape["threads"])
    faiss.omp_set_num_threads(shape["threads"])
    torch.manual_seed(shape["seed"])
    with build(shape).knn_memories_context(batch_size=shape["lanes"]) as memories:
        training = Training(shape, memories)
        added = (shape["rounds"] * shape["steps"] + 1) * shape["segment"]
        fill(memories, max(shape["memory"] - added, 0), shape["head_dim"], training.draw)
        training.step()
        versions = {name: importlib.metadata.version(name) for name in VERSIONS}
        print(json.dumps({"versions": versions, "stored": training.stored()}), flush=True)
        for _ in sys.stdin:
            begun = time.perf_counter()
            for _ in range(shape["steps"]):
                training.step()
            took = time.perf_counter() - begun
            print(json.dumps({"seconds": took, "stored": training.stored()}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
