import re

import numpy as np
import pytest

from mnemon.evaluate.inventions import Inventor, held_out

KINDS = {"name": r"([a-z]{2,3}){2,3}", "place": r"[A-Z][a-z]+", "number": r"\d{5}", "uuid": r"[0-9a-f-]{36}"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_training_sees_is_never_asked_for(kind: str) -> None:
    trained, asked = (
        {getattr(invent, kind)() for _ in range(400)}
        for invent in (Inventor(np.random.default_rng(0), evaluation) for evaluation in (False, True))
    )
    assert len(trained) == len(asked) == 400
    assert not trained & asked
    assert not any(map(held_out, trained))
    assert all(map(held_out, asked))
    assert all(re.fullmatch(KINDS[kind], word) for word in trained | asked)


def test_a_capital_makes_no_other_name() -> None:
    assert held_out("velkor") == held_out("Velkor") == held_out("VELKOR")
