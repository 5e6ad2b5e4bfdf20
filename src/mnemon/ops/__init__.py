from mnemon.ops.accelerated import plain
from mnemon.ops.band import Band
from mnemon.ops.context import partial_context, partial_learned
from mnemon.ops.dense import (
    partial_dense,
    partial_fused,
    partial_pointwise,
    partial_shared,
    partial_single,
)
from mnemon.ops.flex import partial_flex
from mnemon.ops.grouped import partial_grouped
from mnemon.ops.kv import Common, Hidden, Neighbours, Partial, Shared, wide, write_count
from mnemon.ops.merge import added, beside, gated, joint
from mnemon.ops.neighbours import partial_neighbours
from mnemon.ops.window import partial_window

__all__ = [
    "Band",
    "Common",
    "Hidden",
    "Neighbours",
    "Partial",
    "Shared",
    "added",
    "beside",
    "gated",
    "joint",
    "partial_context",
    "partial_dense",
    "partial_flex",
    "partial_fused",
    "partial_grouped",
    "partial_learned",
    "partial_neighbours",
    "partial_pointwise",
    "partial_shared",
    "partial_single",
    "partial_window",
    "plain",
    "wide",
    "write_count",
]
