from pathlib import Path

import pytest

from scripts import told


def test_a_host_is_tuned_by_two_ranks_as_by_one_and_continued_by_more_or_fewer(tmp_path: Path) -> None:
    for kind, ways in told("finetunes.py", tmp_path).items():
        alone = ways.pop("1 auto")
        assert len(alone["losses"]) == 8
        assert max(alone["losses"]) - min(alone["losses"]) > 0.01, kind
        for way, found in ways.items():
            assert found["losses"] == pytest.approx(alone["losses"], rel=1e-5), (kind, way)
            assert found["weights"] == pytest.approx(alone["weights"], rel=1e-3), (kind, way)
