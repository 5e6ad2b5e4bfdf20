from pathlib import Path

import pytest

from mnemon.cli import main

SPAN = ["bench", "span", "--recipe=all-attention-tiny", "--spans=0,100,256", "--rounds=1"]
RECALL = ["bench", "recall", "--index=exact bucketed", "--size=40,80", "--top-k=4", "--queries=3", "--dim=6"]


@pytest.mark.parametrize("words", [SPAN, RECALL], ids=["span", "recall"])
def test_figures_are_drawn(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "plots" / "figures.svg"
    assert main([*words, f"--plot={path}"]) == 0
    assert "<svg" in path.read_text()


def test_another_format_is_refused_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SPAN, "--plot=figures.png"]) == 2
    assert capsys.readouterr() == (
        "",
        "mnemon: --plot figures.png: plots are SVG, so give a name that ends in .svg\n",
    )
