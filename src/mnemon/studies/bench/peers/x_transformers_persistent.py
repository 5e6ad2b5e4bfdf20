"""Training steps of PyPI's x-transformers with persistent vectors, one round for each line on standard input.

Run as a file by the interpreter of `.venv-peers`. Attention layers alone, as in an all-attention network, with as many
memory keys and values a head and a cache of hidden states as long. It has no relative positions here, which spares it
work; `flash` chooses PyTorch's fused attention.
"""

import importlib.metadata
import json
import sys
import time
from typing import Any

import torch
from x_transformers import Decoder, TransformerWrapper

VERSIONS = ("x-transformers", "torch")


def build(shape: dict[str, Any]) -> TransformerWrapper:
    """The model of the same width, depth, heads, cache and vectors."""
    layers = Decoder(
        dim=shape["dim"],
        depth=shape["layers"],
        heads=shape["heads"],
        attn_dim_head=shape["head_dim"],
        attn_num_mem_kv=shape["vectors"],
        attn_flash=shape["flash"],
        custom_layers=("a",) * shape["layers"],
    )
    return TransformerWrapper(
        num_tokens=shape["vocabulary"],
        max_seq_len=shape["segment"],
        max_mem_len=shape["window"],
        use_abs_pos_emb=False,
        attn_layers=layers,
    )


class Training:
    """The model, its optimiser, and the hidden states of the segment before."""

    def __init__(self, shape: dict[str, Any]):
        self.shape = shape
        self.model = build(shape)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)
        self.draw = torch.Generator().manual_seed(shape["seed"])
        self.cache: Any = None

    def step(self) -> None:
        """Forward, backward, clipping, optimiser."""
        size = (self.shape["lanes"], self.shape["segment"] + 1)
        tokens = torch.randint(self.shape["vocabulary"], size, generator=self.draw)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.shape["precision"] == "bfloat16"):
            logits, self.cache = self.model(tokens[:, :-1], mems=self.cache, return_mems=True)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def main(shape: dict[str, Any]) -> None:
    """Answer one line when the cache is filled, then one a round, in processor time."""
    torch.set_num_threads(1)
    torch.manual_seed(shape["seed"])
    training = Training(shape)
    for _ in range(2):
        training.step()
    parameters = sum(p.numel() for p in training.model.parameters())
    versions = {name: importlib.metadata.version(name) for name in VERSIONS}
    print(json.dumps({"versions": versions, "parameters": parameters}), flush=True)
    for _ in sys.stdin:
        begun = time.process_time()
        training.step()
        print(json.dumps({"seconds": time.process_time() - begun}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
