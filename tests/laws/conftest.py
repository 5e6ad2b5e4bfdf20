from collections.abc import Iterator

import jaxtyping
import pytest

CHECKED = ("test_future", "test_precision", "test_gradients")  # together they make every kind of call of every model


@pytest.fixture(autouse=True)
def shapes_are_checked_where_it_tells(request: pytest.FixtureRequest) -> Iterator[None]:
    """The other laws repeat the same calls, and checking shapes would double their time."""
    checked = request.module.__name__.endswith(CHECKED)
    jaxtyping.config.update("jaxtyping_disable", not checked)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
