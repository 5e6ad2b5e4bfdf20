from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from mnemon.cli import say
from mnemon.cli.flags import parse
from mnemon.cli.progress import Phases
from mnemon.config import Problem
from mnemon.data import DataConfig, load_corpus
from mnemon.hosts import load_host
from mnemon.studies.eval_tasks import eval_tasks, named_tasks

PROG = "mnemon eval-tasks"


@dataclass(frozen=True, kw_only=True)
class EvalTasks:
    """What a model recalls of what it has read, far beyond its window: synthetic tasks in real text, scored exactly."""

    model: Positional[str]
    """folder of a transformers model, with or without the settings of a memory, or a name of the hub"""
    tasks: str = "all"
    """tasks with commas between; recall: ours, ruler: the six of RULER that need no download, all: both"""
    factor: int = 16
    """documents have so many windows of tokens"""
    window: int | None = None
    """tokens of one window (default: the segment that the memory is read by)"""
    memory_size: int | None = None
    """entries of the memory of each row (default: as saved)"""
    top_k: int | None = None
    """neighbours a query (default: as saved)"""
    count: int = 100
    """episodes of each task"""
    seed: int = 0
    """of keys, texts and depths"""
    haystack: str = "python-env"
    """real text to hide things in, as --data of train takes it"""
    split: str = "test"
    """which of its documents: train, valid or test"""
    download: bool = False
    """fetch a model of the hub"""
    json: bool = False
    """print one JSON value"""


def run(words: list[str]) -> None:
    command = parse(EvalTasks, words, PROG)
    tasks = named_tasks(command.tasks)
    if command.factor < 1 or (command.window or 1) < 1:
        raise Problem(f"--factor {command.factor} --window {command.window}: each must be at least 1")
    changed: dict[str, Any] = {"size": command.memory_size, "top_k": command.top_k}
    changed = {name: value for name, value in changed.items() if value is not None}
    if (Path(command.model) / "metrics.jsonl").is_file():
        raise Problem(f"{command.model}: a run of mnemon, whose memory knows no documents; give a transformers model")
    memory = load_host(command.model, command.download, **changed)
    corpus = load_corpus(command.haystack, DataConfig(source=command.haystack))
    texts = [document.text for document in corpus.split(command.split)]
    window = command.window or memory.config.segment
    with Phases() as show:
        found = eval_tasks(memory, texts, tasks, command.factor * window, window, command.count, command.seed, show)
    about = {"model": command.model, "factor": command.factor, "haystack": corpus.name}
    value = {"format": 1, **about, "memory": memory.config.model_dump(mode="json"), **found}
    say.result(value, command.json, lambda: _text(value))


def _text(value: dict[str, Any]) -> str:
    head = ["task", "accuracy", "95 % interval", "cited", "another's memory", "no memory"]
    rows = [[name, *_cells(each)] for name, each in value["tasks"].items()]
    about = f"{value['count']} episodes a task, documents of {value['tokens']:,} tokens, {value['factor']} windows"
    return "\n".join([about, say.table([head, *rows])])


def _cells(each: dict[str, Any]) -> list[str]:
    low, high = each["interval"]
    cited = "" if each["cited"] is None else f"{each['cited']:.1%}"
    return [
        f"{each['accuracy']:.1%}",
        f"{low:.1%} to {high:.1%}",
        cited,
        f"{each['other']:.1%}",
        f"{each['without']:.1%}",
    ]
