import shutil
from pathlib import Path

import pytest

from mnemon.index import kernel


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder in which the search kernel was built."""
    if not any(map(shutil.which, kernel.COMPILERS)):
        pytest.skip("there is no C++ compiler to build the kernel with")
    folder = tmp_path_factory.mktemp("cache")
    kernel.build(folder / "mnemon" / "kernels")
    return folder
