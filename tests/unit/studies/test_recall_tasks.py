from pathlib import Path
from typing import Any

import pytest

from mnemon.data import Corpus
from mnemon.evaluate import RULER, TASKS
from mnemon.studies import recall_tasks, recall_training
from mnemon.studies.recall_tasks import recall_tasks_lines, recall_tasks_table
from recalling import CONFIG, documents

CORPUS = Corpus("texts", documents(), [], documents(), {}, "abc")


def _record(accuracies: list[float]) -> dict[str, Any]:
    figures = {"interval": [0.5, 0.9], "cited": 0.75, "without": 0.0, "other": 0.125}
    tasks = [{name: {"accuracy": each, **figures} for name in TASKS | RULER} for each in accuracies]
    models = [{"seed": seed, "seconds": 60.0, "history": [], "tasks": each} for seed, each in enumerate(tasks)]
    about = {
        "config": CONFIG.model_dump(mode="json"),
        "parameters": 1234,
        "factor": 16,
        "tokens": 1024,
        "count": 100,
        "ruler_count": 100,
    }
    return {"models": models, **about, "corpus": {"name": "texts", "fingerprint": "abc"}}


def test_the_page_shows_each_task_and_whether_the_goal_is_met() -> None:
    lines = recall_tasks_lines(_record([1.0]))
    assert [line for line in lines if line.startswith("| passkey")] == [
        "| passkey | 100.0% | 96.3% to 100.0% | 75.0% | 12.5% | 0.0% |"
    ]
    assert "The goal was 99% in each of ours; all of ours reach it, with every seed." in lines
    missed = recall_tasks_lines(_record([1.0, 0.98]))
    assert any(line.endswith(f"below it: {', '.join(TASKS)}.") for line in missed)
    assert next(line for line in missed if line.startswith("| vt")).startswith(
        "| vt | 99.0% | 96.4% to 99.7% | 100.0% | 98.0%"
    )


def test_a_table_trains_a_model_a_seed_and_asks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = CONFIG.replace(steps=2, sets=1, lengths=((1, 1),))
    monkeypatch.setattr(recall_tasks, "load_corpus", lambda source, options: CORPUS)
    monkeypatch.setattr(recall_training, "RecallConfig", lambda seed: short.replace(seed=seed))
    monkeypatch.setattr(recall_tasks, "COUNT", 2)
    monkeypatch.setattr(recall_tasks, "RULER_COUNT", 2)
    monkeypatch.setattr(recall_tasks, "FACTOR", 1)
    monkeypatch.setattr(recall_tasks, "RULER", {"vt": RULER["vt"]})
    monkeypatch.setattr(recall_tasks, "TASKS", {"passkey": TASKS["passkey"]})
    record = recall_tasks_table(tmp_path, 0, [0, 1], lambda *_: None)
    assert [model["seed"] for model in record["models"]] == [0, 1]
    assert list(record["models"][1]["tasks"]) == ["passkey", "vt"]
    assert record["tokens"] == 64
    assert (tmp_path / "seed-1" / "model" / "memory.json").is_file()
