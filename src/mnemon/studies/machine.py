import platform
from datetime import date
from pathlib import Path
from typing import Any

import torch

import mnemon
from mnemon.index import kernel


def machine() -> dict[str, Any]:
    """What a figure was measured on."""
    return {
        "mnemon": mnemon.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "search_kernel": "not built" if kernel.built() is None else "built",
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    """Name of the processor, where the system tells."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else "unknown"
