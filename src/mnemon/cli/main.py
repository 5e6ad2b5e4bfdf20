import importlib
import os
import sys

from mnemon import __version__
from mnemon.config import Problem, nearest

# A name is a module here with `run(words)`, imported when its turn comes: `mnemon --version` need not wait for torch.
COMMANDS = {
    "train": "train a recipe, or continue a run",
    "finetune": "let a model of others learn to use its memory",
    "eval": "loss of a run on unseen documents, for several memory sizes",
    "eval-tasks": "what a model recalls of what it has read, far beyond its window",
    "generate": "read files into memory, then continue a prompt",
    "inspect": "show for every token of a text what memory did for it",
    "remember": "read documents into the memory of a foreign model, kept as a file",
    "ask": "put a question to a foreign model that remembers, and see what the answer came from",
    "memory": "list, show, forget, merge or check what was saved of a memory",
    "export": "write a run for transformers: model and tokenizer",
    "data": "known data sets, and whether a copy of one is whole",
    "params": "parameters of a recipe, part by part",
    "recipes": "the models that can be trained",
    "demo": "train two small models and show on one page what memory brings",
    "reproduce": "run a table of results and write its page",
    "build-kernels": "compile what makes search on this CPU faster",
    "bench": "measure training speed, or what an index finds",
}

ON_RANKS = ("train", "finetune")  # what several processes do together


def main(arguments: list[str] | None = None) -> int:
    """Run one command and give its exit status: 0 done, 1 the machine failed, 2 bad input, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        _dispatch(words)
        sys.stdout.flush()
    except SystemExit as stop:
        return int(stop.code or 0)
    except Problem as problem:
        return _failed(problem, 2)
    except KeyboardInterrupt as stop:
        return _failed(str(stop) or "interrupted", 130)
    except BrokenPipeError:
        # The reader has left; nothing may be written when the interpreter flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _failed(error, 1)
    return 0


def _dispatch(words: list[str]) -> None:
    match words:
        case []:
            raise Problem(f"no command given{nearest('', list(COMMANDS))}")
        case ["--version", *_]:
            print(f"mnemon {__version__}")
        case ["--help" | "-h", *_]:
            print(_help())
        case [name, *_] if name in COMMANDS and name not in ON_RANKS and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            if os.environ.get("RANK", "0") != "0":
                raise SystemExit(2)  # rank 0 says it
            raise Problem(
                f"{name} runs in one process: start it without torchrun; of several ranks are {' and '.join(ON_RANKS)}"
            )
        case [name, *rest] if name in COMMANDS:
            importlib.import_module(f"mnemon.cli.{name.replace('-', '_')}").run(rest)
        case _:
            raise Problem(f"{words[0]!r}: unknown command{nearest(words[0], list(COMMANDS))}")


def _help() -> str:
    lines = [f"  {name:<15}{about}" for name, about in COMMANDS.items()]
    return "\n".join(["usage: mnemon COMMAND [OPTIONS]", "", *lines, "", "mnemon COMMAND --help lists its options."])


def _failed(what: object, status: int) -> int:
    print("mnemon:", " ".join(str(what).split()), file=sys.stderr)
    return status
