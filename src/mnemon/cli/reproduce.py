from dataclasses import dataclass
from pathlib import Path

from mnemon.cli import say
from mnemon.cli.flags import first_word, parse
from mnemon.cli.progress import Phases
from mnemon.studies import TABLES, reproduce


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Run one table of results and write its record and its page. `mnemon reproduce list` names the tables."""

    minutes: int = 15
    """time of a pair of runs on two cores; picks the number of steps from a table"""
    seeds: tuple[int, ...] = (0,)
    """train every model once a seed"""
    out: Path | None = None
    """folder of the runs (default: runs/TABLE); what is there is not trained again"""
    docs: Path = Path("docs/results")
    """folder of pages; records go to `records` in it"""
    json: bool = False
    """print one JSON value at the end"""


def run(words: list[str]) -> None:
    name, rest = first_word(words, Reproduce, "mnemon reproduce TABLE")
    if name == "list":
        listed = {table: each.asks for table, each in TABLES.items()}
        say.result(listed, "--json" in rest, lambda: say.table(listed.items(), left=2))
        return
    command = parse(Reproduce, rest, f"mnemon reproduce {name}")
    out = command.out or Path("runs") / name
    with Phases() as show:
        page = reproduce(name, out, command.docs, command.minutes, command.seeds, show)
    value = {"page": str(page), "record": str(command.docs / "records" / f"{name}.json"), "runs": str(out)}
    say.result(value, command.json, lambda: f"page: {value['page']}\nrecord: {value['record']}")
