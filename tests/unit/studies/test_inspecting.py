import pytest

from mnemon.config import Problem
from mnemon.data import Document
from mnemon.studies.inspecting import another


def test_the_other_document_is_the_next_longer_one_and_never_the_same() -> None:
    a, b, c = (Document(name, name * n) for name, n in (("a", 5), ("b", 9), ("c", 20)))
    assert another([a, b, c], a) is b
    assert another([a, b, c], b) is c
    assert another([a, b, c], c) is b, "nothing is longer: the longest of the rest"
    assert another([a, b, c], Document("copy of b", b.text)) is c
    with pytest.raises(Problem, match="no other document to fill a memory with; give one: --other FILE"):
        another([a], a)
