from dataclasses import dataclass

from mnemon.cli import say
from mnemon.cli.flags import parse
from mnemon.index import kernel

PROG = "mnemon build-kernels"


@dataclass(frozen=True, kw_only=True)
class BuildKernels:
    """Compile what searches faster than PyTorch alone, for this CPU, into the user's cache folder."""

    remove: bool = False
    """delete it instead"""
    json: bool = False
    """print one JSON value"""


def run(words: list[str]) -> None:
    command = parse(BuildKernels, words, PROG)
    if command.remove:
        done, where = kernel.remove(), kernel.library()
        value: dict[str, object] = {"removed": done}
        told = f"removed {where}" if done else f"nothing to remove: there is no {where}"
    else:
        where = kernel.build()
        value, told = {"built": str(where)}, f"built {where}: searches on this machine use it from now on"
    say.result(value, command.json, lambda: told)
