from pathlib import Path
from typing import Any

import pytest

import tiny
from mnemon.data import Corpus, Document
from mnemon.studies import TABLES, attach_tuning
from mnemon.studies.attach_tuning import CONTROL, READ, Tuned, attach_table
from mnemon.studies.reproduce import page


def test_a_host_is_trained_measured_tuned_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(f"d{number}", tiny.text(number, 12)) for number in range(4)]
    small: dict[str, Any] = {
        "load_corpus": lambda source, options: Corpus("tiny", documents[:2], [], documents[2:], {}, "0123"),
        "unseen": lambda corpus: corpus.test,
        "TRAIN": attach_tuning.TRAIN.replace(steps=2, lanes=2),
        "STEPS": 2,
        "TOKENS": 70,
        "_ways": lambda: [READ, READ.replace(merge="gated", value="next", positions="original")],
        "TUNED": {"queries": Tuned("queries"), "all": Tuned("all"), CONTROL: Tuned("all", remember=False)},
    }
    for name, value in small.items():
        monkeypatch.setattr(attach_tuning, name, value)
    said: list[str] = []
    record = attach_table(tmp_path, 1, [0], lambda phase, *_: said.append(phase))
    assert record["host"]["window"] == 128
    assert [each["merge"] for each in record["free"]] == ["joint", "gated"]
    assert {name: set(found) for name, found in record["tuned"].items()} == {
        "queries": {"none", "own", "other"},
        "all": {"none", "own", "other"},
        CONTROL: {"none"},
    }
    assert len(record["comparisons"]) == 2 * 3 + 1
    said.clear()
    again = attach_table(tmp_path, 1, [0], lambda phase, *_: said.append(phase))
    assert again["tuned"] == record["tuned"]
    assert {phase.split()[0] for phase in said} == {"reading"}
    text = page({"table": "attach", "command": "mnemon reproduce attach", **record})
    assert f"# {TABLES['attach'].title}" in text
    assert text.count("| queries |") == 1
    assert "| gated | next | original |" in text
