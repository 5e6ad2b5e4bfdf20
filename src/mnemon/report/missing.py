from pathlib import Path
from typing import Any

from mnemon.config import Problem


def check_extra() -> None:
    """Stands in for `page.check_extra` where the extra is not installed: always a `Problem`."""
    raise Problem("the report needs matplotlib and jinja2: pip install 'mnemon[report]'")


def write_page(results: dict[str, Any], path: Path) -> None:
    """Stands in for `page.write_page` where the extra is not installed: always a `Problem`."""
    check_extra()
