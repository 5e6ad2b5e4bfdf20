from pathlib import Path

import pytest

from scripts import told


def test_runs_are_continued_by_more_ranks_or_fewer_to_the_same_losses(tmp_path: Path) -> None:
    found = told("others.py", tmp_path)
    for runs in found["losses"].values():
        whole = runs.pop("whole")
        assert len(whole) == 12
        assert runs
        for name, losses in runs.items():
            assert losses == pytest.approx(whole, rel=1e-5), name
    assert found["three"] == (
        "lanes 4 count all ranks together and cannot be dealt evenly to 3 ranks of accumulate 2: take a multiple of 6"
    )
