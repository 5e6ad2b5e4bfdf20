import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mnemon.config import write_text
from mnemon.evaluate import Inspection
from mnemon.report import inspected
from mnemon.report.inspected import DATA, PAGE, check_free
from mnemon.report.pages import environment

HINTS = {
    "own": "A passage was found because its marked token stood in a similar context; behind it stands what came next.",
    "next": "A passage was found because the words before its marked token are similar; that token is what came next.",
}


def write_inspection(found: Inspection, folder: Path, run: str, facts: Mapping[str, str] | None = None) -> Path:
    """Write `inspection.json` and the page `inspection.html` to a folder that holds neither, and give the page.

    `run` names the run on the page, `facts` are shown at its end. The page is one file: it asks for nothing else.
    """
    check_free(folder)
    values = {"run": run, **found.as_json()}
    write_text(
        folder / DATA, json.dumps(values, allow_nan=False) + "\n"
    )  # in columns: indented it would be a number a line
    write_text(folder / PAGE, render(values, facts or {}))
    return folder / PAGE


def render(data: dict[str, Any], facts: Mapping[str, str]) -> str:
    """The page as text; `data` as `Inspection.as_json` gives it, with the name of the `run`."""
    pages = environment()
    pages.filters["told"] = inspected.told
    assert pages.loader is not None
    script = pages.loader.get_source(pages, "inspection.js")[0]
    heads, best = inspected.heads(data), inspected.best(data)
    readings = [name for name in inspected.READINGS if name in data["nats_per_token"] and name != "memory"]
    return pages.get_template("inspection.html").render(
        data=data,
        title=inspected.title(data),
        summary=inspected.summary(data),
        best=best,
        first=best[0]["token"] if best else inspected.first(data),
        choices=[*((name, inspected.READINGS[name][0]) for name in readings), ("loss", "nothing: the loss itself")],
        by_kind=inspected.gain_rows(data, "by_kind"),
        by_rarity=inspected.gain_rows(data, "by_rarity"),
        readings=inspected.readings(data) if data["memory"] else [],
        heads=heads,
        remembering=[head for head in heads if head["even"] is not None],
        most=max(map(len, data["tokens"]["found"])),
        kinds=inspected.KINDS,
        hint=HINTS.get(data["value"], ""),
        facts=list(facts.items()),
        json=Markup(_harmless(data)),
        script=Markup(script),
        hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    )


def _harmless(data: dict[str, Any]) -> str:
    """JSON that ends no script element, whatever the text says; nothing beyond ASCII."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
