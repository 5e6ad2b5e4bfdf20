from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from mnemon.cli import say
from mnemon.cli.hosted import check_folder, hosted, loaded
from mnemon.cli.memory import recalled
from mnemon.cli.progress import Phases
from mnemon.config import Problem
from mnemon.hosts import Keeping, Remembered, remember, sources
from mnemon.memory import Contents, is_memory, read_contents

PROG = "mnemon remember"
NAMED = 3  # files that are named of those that were left out


@dataclass(frozen=True, kw_only=True)
class Remember:
    """Read documents into the memory of a foreign model. With its name before --help: also how it remembers."""

    docs: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DOCS")]
    """files, or folders of files: UTF-8 text, plain, .gz, .xz or .zst"""
    memory: Path
    """folder that keeps the memory; made if it is not there"""
    namespace: str = ""
    """where the documents are seen: a question sees those of one namespace"""
    replace: bool = False
    """read documents again that have changed, instead of refusing them"""
    precision: Literal["float32", "bfloat16", "float16", "int8"] | None = None
    """of what is kept (default: as it was, or the model's)"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """where to compute"""
    download: bool = False
    """fetch the model from the hub if it is not here"""
    json: bool = False
    """print one JSON value at the end"""


def run(words: list[str]) -> None:
    host, command, config = hosted(Remember, words, PROG)
    if not command.docs:
        raise Problem(f"no documents given; see {PROG} --help")
    check_folder(command.memory)
    found, skipped = sources(command.docs)
    with Phases() as show:
        show("loading the model", 0, 1)
        memory = loaded(host, config, command.memory, command.download, command.device, verify=True)
        show("loading the model", 1, 1)
        try:
            done = remember(
                Keeping(memory, command.memory, command.precision),
                found,
                command.namespace,
                command.replace,
                lambda behind, total, said: show("reading", behind, total, said),
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; what was read is kept in {command.memory}: run it again") from None
    contents = read_contents(command.memory) if is_memory(command.memory) else None
    value = {
        "memory": str(command.memory),
        **asdict(done),
        "skipped": skipped,
        "documents": len(memory.documents),
        "entries": len(memory),
        "bytes": contents.bytes if contents else 0,
    }
    say.result(value, command.json, lambda: "\n".join(_lines(command.memory, done, skipped, value, contents)))


def _lines(
    file: Path, done: Remembered, skipped: Mapping[str, Sequence[str]], value: Mapping[str, Any], held: Contents | None
) -> list[str]:
    rate = done.tokens / max(done.seconds, 1e-9)
    lines = [f"read {_counted(len(done.read) + len(done.replaced))}, {done.tokens:,} tokens"]
    if done.tokens:
        lines[0] += f" in {done.seconds:,.1f} s ({rate:,.0f} tokens/s)"
    if done.replaced:
        lines.append(f"replaced {_some(done.replaced)}")
    if done.kept:
        lines.append(f"there already: {_some(done.kept)}")
    lines += [f"skipped, {reason}: {_some(names)}" for reason, names in sorted(skipped.items())]
    if done.evicted:
        lines.append(
            f"the memory is full: its oldest {done.evicted:,} entries went; --memory.size says how many it holds"
        )
    lines.append(f"{file}: {_counted(value['documents'])}, {value['entries']:,} entries, {value['bytes']:,} bytes")
    if held is not None and held.precision != held.fingerprint.dtype:
        lines.append(f"kept in {held.precision}: {recalled(held.recall)}")
    return lines


def _counted(documents: int) -> str:
    return f"{documents:,} document{'' if documents == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
