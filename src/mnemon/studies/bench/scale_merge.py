from time import perf_counter

import torch

from mnemon.studies.bench.scale_model import Shape

SHARDS = (2, 16, 128, 1024)
ROUNDS = 15


def merge_times(shape: Shape) -> dict[int, float]:
    """Milliseconds to choose the best of what so many shards answered: top k of scores, and what belongs to them."""
    return {shards: _merge(shape, shards) for shards in SHARDS}


def _merge(shape: Shape, shards: int) -> float:
    h, k, d = shape.heads, shape.top_k, shape.dim
    scores, ids = torch.randn(shards, h, k), torch.arange(shards * h * k).view(shards, h, k)
    values = torch.randn(shards, h, k, d)
    took = []
    for _ in range(ROUNDS):
        begun = perf_counter()
        best, places = scores.transpose(0, 1).flatten(1).topk(k)
        chosen = ids.transpose(0, 1).flatten(1).gather(1, places)
        values[places // k, torch.arange(h)[:, None], places % k]
        took.append(1e3 * (perf_counter() - begun))
        assert best.shape == chosen.shape
    return sorted(took)[len(took) // 2]
