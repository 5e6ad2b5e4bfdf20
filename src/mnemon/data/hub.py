import importlib
import importlib.util
import logging
from collections.abc import Iterator
from typing import Any

from mnemon.config import Problem

Row = dict[str, Any]


def rows(name: str, split: str, *where: str, **how: Any) -> Iterator[Row]:
    """The rows of one split as `datasets.load_dataset(*where, split=split, **how)` gives them.

    Loading scripts are no longer run by that library (since 4.0), so only copies in plain files can be fetched.
    The library is imported when something is fetched: that takes as long as torch's own import.
    """
    if importlib.util.find_spec("datasets") is None:
        raise Problem(f"{name}: fetching needs the package datasets: pip install 'mnemon[data]'")
    library: Any = importlib.import_module("datasets")
    # Its retries would be told line by line; what came of them is told below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        yield from library.load_dataset(*where, split=split, **how)
    except Exception as error:  # noqa: BLE001 - the library lets through what any of its own libraries raises
        said = (str(error).splitlines() or [""])[0]
        raise Problem(
            f"{name}: cannot be fetched from {where[-1] if len(where) == 1 else where[0]} ({type(error).__name__}: "
            f"{said}); see that the network is there, or give a copy of your own: --data {name}:PATH"
        ) from None
