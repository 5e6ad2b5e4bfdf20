from collections.abc import Iterator

import pytest

from browser.chromium import Tab, find_chromium, running


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: looks at a page in a headless Chromium; skipped without one")


@pytest.fixture(scope="session")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A page of a headless Chromium; the test is skipped where none is installed."""
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium is installed")
    with running(program, tmp_path_factory.mktemp("profile")) as page:
        yield page
