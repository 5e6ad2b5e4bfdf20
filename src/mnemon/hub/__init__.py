from importlib.util import find_spec

from mnemon.config import Problem

if find_spec("transformers") is None:
    raise Problem("mnemon.hub needs transformers: pip install 'mnemon[hf]'")

from mnemon.hub.base import MnemonModel, MnemonPreTrainedModel
from mnemon.hub.cache import MnemonCache
from mnemon.hub.causal import MnemonForCausalLM
from mnemon.hub.config import MnemonConfig
from mnemon.hub.exporting import export
from mnemon.hub.projection import Projection
from mnemon.hub.register import register
from mnemon.hub.tokens import fast_tokenizer

__all__ = [
    "MnemonCache",
    "MnemonConfig",
    "MnemonForCausalLM",
    "MnemonModel",
    "MnemonPreTrainedModel",
    "Projection",
    "export",
    "fast_tokenizer",
    "register",
]

register()
