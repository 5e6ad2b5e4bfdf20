from mnemon.ops.dense import partial_context, partial_dense, partial_fused, partial_shared
from mnemon.ops.kv import Hidden, Neighbours, Partial, Shared, wide, write_count
from mnemon.ops.merge import gated, joint
from mnemon.ops.neighbours import partial_neighbours

__all__ = [
    "Hidden",
    "Neighbours",
    "Partial",
    "Shared",
    "gated",
    "joint",
    "partial_context",
    "partial_dense",
    "partial_fused",
    "partial_neighbours",
    "partial_shared",
    "wide",
    "write_count",
]
