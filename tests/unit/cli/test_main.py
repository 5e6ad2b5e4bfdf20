import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mnemon import __version__
from mnemon.cli import main
from mnemon.cli.main import COMMANDS
from mnemon.config import Problem


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Let the command `recipes` run a function of the test."""

    def use(run) -> None:  # type: ignore[no-untyped-def]
        monkeypatch.setitem(sys.modules, "mnemon.cli.recipes", SimpleNamespace(run=run))

    return use


def raising(error: BaseException):  # type: ignore[no-untyped-def]
    def run(words: list[str]) -> None:
        raise error

    return run


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "mnemon: no command given"),
        (["trian"], "mnemon: 'trian': unknown command (did you mean 'train'?)"),
        (["--json"], "mnemon: '--json': unknown command"),
    ],
)
def test_unknown_command_is_one_line_and_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(message)
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (Problem("x.json: damaged\nat line 3"), 2, "mnemon: x.json: damaged at line 3\n"),
        (KeyboardInterrupt(), 130, "mnemon: interrupted\n"),
        (OSError(28, "No space left on device", "model"), 1, "mnemon: [Errno 28] No space left on device: 'model'\n"),
        (SystemExit(0), 0, ""),
        (SystemExit(3), 3, ""),
    ],
)
def test_each_failure_has_its_status_and_one_line(
    command, error: BaseException, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command(raising(error))
    assert main(["recipes"]) == status
    assert capsys.readouterr() == ("", message)


def test_a_defect_keeps_its_traceback(command) -> None:
    command(raising(AssertionError("ours")))
    with pytest.raises(AssertionError, match="ours"):
        main(["recipes"])


def test_a_command_gets_the_words_after_its_name(command) -> None:
    seen: list[str] = []
    command(seen.extend)
    assert main(["recipes", "--json", "x"]) == 0
    assert seen == ["--json", "x"]


def test_python_m_mnemon_is_mnemon() -> None:
    done = subprocess.run([sys.executable, "-m", "mnemon", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"mnemon {__version__}\n"


def test_a_reader_that_leaves_gets_no_traceback() -> None:
    code = "import sys; from mnemon.cli import main; sys.exit(main(['--help']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_version_does_not_wait_for_torch() -> None:
    code = "import sys, mnemon.cli; mnemon.cli.main(['--version']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert json.dumps(done.stderr) == '""'
