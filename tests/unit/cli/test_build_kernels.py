import json
import shutil
from pathlib import Path

import pytest

from mnemon.cli import main
from mnemon.index import kernel


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernel.built.cache_clear()
    return tmp_path / "mnemon" / "kernels"


@pytest.mark.skipif(not any(map(shutil.which, kernel.COMPILERS)), reason="there is no C++ compiler")
def test_a_kernel_is_built_into_the_cache_and_removed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build-kernels"]) == 0
    (built,) = cache.iterdir()
    assert capsys.readouterr().out.startswith(f"built {built}")
    assert kernel.built() is not None
    assert main(["build-kernels", "--remove", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed": True}
    assert not list(cache.iterdir())
    assert main(["build-kernels", "--remove"]) == 0
    assert capsys.readouterr().out.startswith("nothing to remove")
    kernel.built.cache_clear()


def test_without_a_compiler_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernel, "COMPILERS", ())
    assert main(["build-kernels"]) == 2
    assert "no C++ compiler" in capsys.readouterr().err
