from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mnemon.config import Problem
from mnemon.hosts.config import MemoryConfig
from mnemon.hosts.memory import Memory
from mnemon.hosts.sewing import seams, unpick


def attach(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None = None, **settings: Any) -> Memory:
    """Give a decoder a memory, and get the object that reads documents into it. `settings`: see `MemoryConfig`.

    With an empty memory the model computes what it did before, bit for bit; `detach` makes it what it was.
    """
    return Memory(model, tokenizer, MemoryConfig.parse(settings, "attach"))


def detach(model: PreTrainedModel) -> None:
    """Take the memory off: the model is exactly what it was before `attach`."""
    if not seams(model):
        raise Problem("this model has no memory to detach")
    unpick(model)
