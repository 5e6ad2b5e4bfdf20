from typing import Any

import pytest

from scripts import told


@pytest.fixture(scope="module")
def alone() -> Any:
    return told("curves.py", "auto")


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_have_the_losses_of_one_process_for_every_recipe(alone: Any, parallel: str) -> None:
    found = told("curves.py", parallel)
    assert found.keys() == alone.keys()
    for name, losses in alone.items():
        assert max(losses) - min(losses) > 0.01, name
        rough = name.endswith((", bfloat16", ", muon"))  # Muon's own products are in bfloat16
        assert found[name] == pytest.approx(losses, rel=1e-3 if rough else 1e-5), name
