from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture(autouse=True)
def shapes_are_checked_where_it_tells(request: pytest.FixtureRequest) -> Iterator[None]:
    """Generation makes the same calls over and over, and checking shapes would multiply their time."""
    jaxtyping.config.update("jaxtyping_disable", not request.module.__name__.endswith("test_packing"))
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
