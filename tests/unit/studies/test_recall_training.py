from pathlib import Path
from typing import Any

import pytest
import torch

from mnemon.config import Problem, read_json, write_json
from mnemon.studies import recall_training
from mnemon.studies.eval_tasks import eval_tasks
from mnemon.studies.recall_training import RecallConfig, teach
from recalling import CONFIG, documents

SHORT = CONFIG.replace(steps=4, sets=2, lengths=((2, 1),))


def silent(*_: object) -> None:
    """Says nothing."""


def test_a_model_learns_to_recall_what_it_read_windows_ago(tmp_path: Path) -> None:
    taught = teach(tmp_path, documents(), CONFIG, silent)
    texts = [document.text for document in documents()]
    found = eval_tasks(taught.memory, texts, ["passkey"], 256, 64, 40, 0)["tasks"]["passkey"]
    assert found["accuracy"] > 0.6
    assert found["cited"] > 0.9
    assert found["without"] == found["other"] == 0
    assert taught.history[-1]["loss"] < 0.2 < taught.history[0]["loss"]
    assert len(taught.memory) == 0


def test_a_training_that_was_interrupted_ends_where_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall_training, "SAVED", 2)

    def interrupted(phase: str, done: int, total: int, said: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teach(tmp_path / "one", documents(), SHORT, interrupted)
    weights = [teach(tmp_path / name, documents(), SHORT, silent).memory.model.state_dict() for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name]), name


def test_what_is_trained_is_taken_as_it_is(tmp_path: Path) -> None:
    said: list[Any] = []
    first = teach(tmp_path, documents(), SHORT, lambda *each: said.append(each))
    again = teach(tmp_path, [], SHORT, lambda *each: said.append(each))
    assert [done for _, done, _, _ in said] == [1, 2, 3, 4]
    assert again.history == first.history
    assert read_json(tmp_path / "training.json")["config"]["steps"] == 4
    with pytest.raises(Problem, match="in another way"):
        teach(tmp_path, documents(), SHORT.replace(lr=0.02), silent)


def test_a_setting_that_came_later_makes_no_other_training(tmp_path: Path) -> None:
    teach(tmp_path, documents(), SHORT, silent)
    values = read_json(tmp_path / "training.json")
    del values["config"]["memory"]["sharpness"], values["config"]["host"]["n_groups"]
    write_json(tmp_path / "training.json", values)
    assert len(teach(tmp_path, [], SHORT, silent).history) == 1


def test_documents_grow_and_the_rate_falls() -> None:
    config = RecallConfig(lengths=((2, 10), (4, 5), (16, 1)), steps=100)
    assert [config.factor(step) for step in (0, 9, 10, 14, 15, 99)] == [2, 2, 4, 4, 16, 16]
    rates = [config.rate(step) for step in (0, 29, 60, 80, 99)]
    assert rates == pytest.approx([1 / 30, 1, 1, 0.5, 0.025])
