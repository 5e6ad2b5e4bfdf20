import importlib
from typing import Any

__version__ = "0.1.0"

# Names that need transformers (the extra `hf`), imported when they are first asked for.
HOSTS = ("Memory", "MemoryConfig", "attach", "detach")


def __getattr__(name: str) -> Any:
    if name not in HOSTS:
        raise AttributeError(f"module 'mnemon' has no attribute {name!r}")
    return getattr(importlib.import_module("mnemon.hosts"), name)
