from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnemon.config import Problem
from mnemon.evaluate import Inspection
from mnemon.report.chart import Chart


def check_extra() -> None:
    """Stands in for `page.check_extra` where the extra is not installed: always a `Problem`."""
    raise Problem("the report needs matplotlib and jinja2: pip install 'mnemon[report]'")


def write_page(results: dict[str, Any], path: Path) -> None:
    """Stands in for `page.write_page` where the extra is not installed: always a `Problem`."""
    check_extra()


def write_inspection(found: Inspection, folder: Path, run: str, facts: Mapping[str, str] | None = None) -> Path:
    """Stands in for `inspection.write_inspection` where the extra is not installed: always a `Problem`."""
    check_extra()
    return folder


def write_chart(chart: Chart, path: Path) -> None:
    """Stands in for `charts.write_chart` where the extra is not installed: always a `Problem`."""
    check_extra()
