import importlib
import importlib.metadata
import pkgutil
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import mnemon
from mnemon.cli import main

ROOT = Path(__file__).parents[2]
SOURCES = Path(mnemon.__file__).parent


def rooms() -> list[str]:
    return [found.name for found in pkgutil.iter_modules([str(SOURCES)]) if found.ispkg]


def lint_imports(package: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of this repository on the package in `package`/mnemon."""
    shutil.copy(ROOT / "pyproject.toml", package)
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=package, env={"PYTHONPATH": str(package)}, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a copy of the package."""
    shutil.copytree(SOURCES, tmp_path / "mnemon", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mnemon {mnemon.__version__}\n"
    assert importlib.metadata.version("mnemon") == mnemon.__version__


@pytest.mark.parametrize("room", rooms())
def test_exported_names_are_sorted_and_exist(room: str) -> None:
    module = importlib.import_module(f"mnemon.{room}")
    exported = getattr(module, "__all__", None)
    assert exported, "a room says in __all__ what it offers"
    assert len(set(exported)) == len(exported)
    assert [name for name in exported if not hasattr(module, name)] == []


def test_rooms_import_only_downwards(copy: Path) -> None:
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("config", "import mnemon.ops"),
        ("config", "import torch"),
        ("ops", "from mnemon.pools import POOLS"),
        ("data", "import mnemon.model"),
        ("pools", "import mnemon.cli.main"),
    ],
)
def test_an_upward_import_breaks_the_contract(copy: Path, room: str, line: str) -> None:
    with open(copy / "mnemon" / room / "__init__.py", "a") as module:
        module.write(f"\n{line}\n")
    done = lint_imports(copy)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout


def test_a_room_that_the_contract_does_not_list_breaks_it(copy: Path) -> None:
    (copy / "mnemon" / "attic").mkdir()
    (copy / "mnemon" / "attic" / "__init__.py").touch()
    assert lint_imports(copy).returncode == 1


def test_every_dependency_is_pinned_without_an_address() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))
    extras = settings["project"]["optional-dependencies"]
    wanted = [*settings["project"]["dependencies"], *(name for extra in extras.values() for name in extra)]
    names = {name.partition(">")[0].partition("[")[0] for name in wanted} - {"mnemon"}
    assert names <= set(pins)
    assert [pin for pin in pins.values() if not pin.replace(".", "").replace("post", "").isalnum()] == []
    assert set(extras["report"]) | set(extras["data"]) <= set(wanted)


def test_the_wheel_holds_every_source_file_and_nothing_else(tmp_path: Path) -> None:
    if not (ROOT / "src").is_dir():
        pytest.skip("the tests run against the installed wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = {path for path in SOURCES.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert names == {str(path.relative_to(SOURCES.parent)) for path in tracked}
    assert "mnemon/py.typed" in names
