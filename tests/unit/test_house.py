import importlib.metadata

import pytest

import mnemon
from mnemon.cli import main


def test_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mnemon {mnemon.__version__}\n"
    assert importlib.metadata.version("mnemon") == mnemon.__version__
