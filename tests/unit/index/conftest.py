import shutil
from pathlib import Path

import pytest

from mnemon.index import kernel


@pytest.fixture(scope="session")
def compiler() -> str:
    """A C++ compiler; tests that need one say that there is none."""
    found = next(filter(None, map(shutil.which, kernel.COMPILERS)), None)
    if found is None:
        pytest.skip(f"no C++ compiler ({', '.join(kernel.COMPILERS)}): the search kernel is not tested on this machine")
    return found


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, compiler: str) -> Path:
    """A cache folder in which the search kernel was built."""
    folder = tmp_path_factory.mktemp("cache")
    kernel.build(folder / "mnemon" / "kernels")
    return folder


@pytest.fixture(scope="session")
def plainly_built(tmp_path_factory: pytest.TempPathFactory, compiler: str) -> Path:
    """A cache folder in which the search kernel was built as for a CPU that does not multiply bfloat16 numbers."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "FLAGS", kernel.PLAIN)
        kernel.build(folder / "mnemon" / "kernels")
    return folder
