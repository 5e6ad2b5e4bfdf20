import importlib
import importlib.util
from pathlib import Path
from typing import Any


def events(folder: Path, after: int) -> Any:
    """A writer of TensorBoard events that replaces those after step `after`; None where tensorboard is missing.

    The package is looked for when training begins: its import takes as long as torch's own.
    """
    if importlib.util.find_spec("tensorboard") is None:
        return None
    return importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(folder), purge_step=after + 1)
