import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mnemon.cli import demo, main
from mnemon.config import Problem, write_json

RESULTS = {
    "models": {
        "memorizing-tiny": {"bits_per_byte": {"0": 2.5, "8192": 2.25}},
        "transformer-xl-tiny": {"bits_per_byte": {"0": 2.4}},
    },
    "comparisons": [
        {"name": "memory against none", "bits_per_byte": -0.25, "interval": [-0.3, -0.2], "holds": True},
        {"name": "beyond the window", "bits_per_byte": -0.1, "interval": [-0.3, 0.1], "holds": False},
    ],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, tuple[int, ...], str]]:
    """What the study was asked for; it writes ready results and no page."""
    calls = []

    def study(
        out: Path, minutes: int, seeds: Sequence[int], progress: Callable[[str, int, int, str], None], source: str
    ) -> Path:
        if minutes < 1:
            raise Problem(f"minutes {minutes}: at least 1 are needed")
        calls.append((minutes, tuple(seeds), source))
        progress("training", 1, 2, "loss 3")
        progress("training", 2, 2, "loss 2")
        write_json(out / "results.json", RESULTS)
        return out

    monkeypatch.setattr(demo, "demo", study)
    return calls


def test_a_demo_says_what_it_found(asked: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path), "--minutes", "1", "--seeds", "0", "1", "--data", "texts"]) == 0
    assert asked == [(1, (0, 1), "texts")]
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "bits/byte on unseen documents, by memory size",
        "                          0    8192",
        "memorizing-tiny      2.5000  2.2500",
        "transformer-xl-tiny  2.4000",
        "",
        "lower loss? difference in bits/byte [95 % interval over documents]",
        "yes -0.2500 [-0.3000, -0.2000]  memory against none",
        "no  -0.1000 [-0.3000, +0.1000]  beyond the window",
        "",
        f"page: {tmp_path}/report.html",
    ]
    assert said.err.splitlines() == ["training  1/2  loss 3", "training  2/2  loss 2"]


def test_a_quarter_of_an_hour_and_one_seed_are_the_default(
    asked: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path), "--json"]) == 0
    assert asked == [(15, (0,), "python-env")]
    value = json.loads(capsys.readouterr().out)
    assert value["bits_per_byte"]["memorizing-tiny"]["8192"] == 2.25
    assert value["results"] == f"{tmp_path}/results.json"


def test_too_little_time_is_one_line(asked: list, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--minutes", "0"]) == 2
    assert capsys.readouterr() == ("", "mnemon: minutes 0: at least 1 are needed\n")
