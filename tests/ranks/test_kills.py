from pathlib import Path

import pytest

from scripts import told


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_after_each_of_many_kills_two_ranks_continue_to_the_identical_curve(tmp_path: Path, parallel: str) -> None:
    assert told("kills.py", tmp_path, parallel, "10") == {"kills": 10, "steps": 60, "same": True, "left": []}
