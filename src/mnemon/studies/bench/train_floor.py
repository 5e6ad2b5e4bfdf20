"""The floor of a training step: its operations and its traffic, at the rates at which this machine does the like."""

from dataclasses import dataclass
from typing import Any

import torch

from mnemon.studies.bench.floor import Rates, Work, copy_rate, product_rate
from mnemon.train import RunConfig

COPIED = 1 << 26  # bytes of a copy by which traffic is measured
SEARCHED = 1 << 13  # keys of a product by which a search is measured


@dataclass(frozen=True)
class Piece:
    """A part of a step: its work, and the product [rows inner] by [inner columns] whose rate it has at best."""

    work: Work
    product: tuple[int, int, int]


def pieces(config: RunConfig, parameters: int) -> dict[str, Piece]:
    """What a step cannot do without, by what it is for.

    A product with weights is made three times (forward, and backward to inputs and to weights), and so are the two of
    the context, of which every token sees `window` keys. A search makes one. Attention to k neighbours reads their keys
    and values in forward and backward. An optimiser reads parameter, gradient and moment and writes two of them.
    """
    model, lanes = config.model, config.train.lanes
    tokens, width, size = lanes * model.segment, model.n_heads * model.head_dim, 4 if _exact(config) else 2
    inner = 0 if model.feedforward is None else model.feedforward.dim * (3 if model.feedforward.gated else 2)
    weights = model.n_layers * model.dim * (4 * width + inner) + model.vocab_size * model.dim
    seen = model.window if model.pools.cache else model.segment / 2
    found = {
        "weights": Piece(Work(flops=6.0 * tokens * weights), (tokens, model.dim, max(inner // 2, width))),
        "context": Piece(
            Work(flops=12.0 * tokens * model.n_layers * seen * width),
            (model.segment, model.head_dim, model.segment + model.window),
        ),
        "optimiser": Piece(Work(bytes=20.0 * parameters), (1, 1, 1)),
    }
    knn = model.pools.knn
    if knn is not None:
        entries = tokens * width * len(knn.layers)
        found["search"] = Piece(
            Work(flops=2.0 * entries * knn.size, bytes=float(size * lanes * width * knn.size * len(knn.layers))),
            (model.segment, model.head_dim, min(knn.size, SEARCHED)),
        )
        found["neighbours"] = Piece(Work(bytes=4.0 * size * entries * knn.top_k), (1, 1, 1))
    return found


def floor(
    config: RunConfig, parameters: int, rates: dict[tuple[int, int, int], float], copied: float
) -> dict[str, Any]:
    """Seconds that each piece of a step takes at least, and operations a second of the products they are held to.

    `rates` keeps what was measured, so that models are held to the same.
    """
    found = {}
    dtype = torch.float32 if _exact(config) else torch.bfloat16
    for name, piece in pieces(config, parameters).items():
        if piece.work.flops and piece.product not in rates:
            rates[piece.product] = product_rate(*piece.product, dtype)
        found[name] = Rates(rates.get(piece.product, 1.0), copied).floor(piece.work)
    return {"seconds": sum(found.values()), "pieces": found}


def traffic() -> float:
    """Bytes a second that this machine copies."""
    return copy_rate(COPIED)


def _exact(config: RunConfig) -> bool:
    return config.train.precision == "float32"
