import sys

from mnemon import __version__
from mnemon.config import Problem


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status (0 done, 2 bad input)."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words == ["--version"]:
            print(f"mnemon {__version__}")
            return 0
        raise Problem("no command given; try mnemon --version")
    except Problem as problem:
        print(f"mnemon: {problem}", file=sys.stderr)
        return 2
