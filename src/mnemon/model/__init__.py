from mnemon.model.as_attention import Vectors, as_attention
from mnemon.model.attention import Attention, AttentionConfig
from mnemon.model.block import Block, FeedForward, FeedForwardConfig
from mnemon.model.drift import Drift, key_drift
from mnemon.model.embedding import EmbeddingConfig
from mnemon.model.head import HeadConfig
from mnemon.model.precision import Precision, computing
from mnemon.model.rows import rows_cut, rows_joined
from mnemon.model.span import AdaptiveSpan, SpanConfig
from mnemon.model.state import LayerView, MemoryState, Remembering
from mnemon.model.trace import LayerTrace, NeighbourTrace
from mnemon.model.transformer import ModelConfig, Output, Transformer
from mnemon.model.widen import widened

__all__ = [
    "AdaptiveSpan",
    "Attention",
    "AttentionConfig",
    "Block",
    "Drift",
    "EmbeddingConfig",
    "FeedForward",
    "FeedForwardConfig",
    "HeadConfig",
    "LayerTrace",
    "LayerView",
    "MemoryState",
    "ModelConfig",
    "NeighbourTrace",
    "Output",
    "Precision",
    "Remembering",
    "SpanConfig",
    "Transformer",
    "Vectors",
    "as_attention",
    "computing",
    "key_drift",
    "rows_cut",
    "rows_joined",
    "widened",
]
