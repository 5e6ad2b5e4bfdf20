import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnemon.cli import main, train
from mnemon.config import read_json


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(texts: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert (
        main(["train", "memorizing-tiny", "--data", str(texts), "--out", str(out), "--train.steps", "3", *small]) == 0
    )
    return out


def test_a_run_folder_holds_its_resolved_config(run: Path, texts: Path) -> None:
    assert {path.name for path in run.iterdir()} >= {
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "metrics.jsonl",
        "checkpoints",
    }
    config = read_json(run / "config.json")
    assert config["data"]["source"] == str(texts)
    assert config["model"]["dim"] == 8
    assert config["train"]["checkpoint_every"] == 2


def test_json_is_the_only_thing_on_standard_output(
    texts: Path, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["train", "memorizing-tiny", "--data", str(texts), "--out", str(out), "--train.steps", "2", "--json"]
    assert main([*words, *small]) == 0
    said = capsys.readouterr()
    value = json.loads(said.out)
    assert value["run"] == str(out)
    assert value["step"] == 2
    assert value["loss"] == losses(out)[-1]
    assert "training  2/2" in said.err


def test_resume_reaches_a_later_step_and_then_has_nothing_to_do(
    texts: Path, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["train", "memorizing-tiny", "--data", str(texts), "--out", str(out), "--train.steps", "2", *small]
    assert main(words) == 0
    assert main(["train", "--resume", str(out), "--train.steps", "4"]) == 0
    assert len(losses(out)) == 4
    capsys.readouterr()
    assert main(["train", f"--resume={out}"]) == 0
    assert capsys.readouterr().out == f"{out}: 4 steps, nothing left to do\n"


def test_a_run_may_start_from_another(run: Path, texts: Path, small: list[str], tmp_path: Path) -> None:
    words = ["train", "memorizing-tiny", "--data", str(texts), "--train.steps", "1", *small]
    assert main([*words, "--out", str(tmp_path / "new")]) == 0
    assert main([*words, "--out", str(tmp_path / "more"), "--start-from", str(run)]) == 0
    assert losses(tmp_path / "new")[0] == losses(run)[0]
    assert losses(tmp_path / "more")[0] != losses(run)[0]


def test_a_memory_grows_from_run_to_run(texts: Path, small: list[str], tmp_path: Path) -> None:
    plain = [word for word in small if "knn" not in word]
    words = ["--data", str(texts), "--train.steps", "2"]
    knn = "--model.pools.knn"
    steps = {
        "none": ["transformer-xl-tiny", *plain],
        "small": ["memorizing-tiny", *small],
        "large": ["memorizing-tiny", *small, f"{knn}.size", "262144", f"{knn}.top-k", "9", f"{knn}.layers", "0", "1"],
    }
    before: list[str] = []
    for name, asked in steps.items():
        out = str(tmp_path / name)
        assert main(["train", *asked, *words, "--out", out, *before]) == 0
        before = ["--start-from", out]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("memorizing-tiny --out {new} --start-from {new}", "mnemon: {new}: no such run folder"),
        ("", "mnemon: RECIPE is missing: mnemon train RECIPE [OPTIONS]"),
        ("memorizing-tny --out {new}", "mnemon: recipe 'memorizing-tny': no such recipe (did you mean"),
        ("memorizing-tiny", "mnemon: Missing from mnemon train memorizing-tiny: --out PATH"),
        ("memorizing-tiny --out {run}", "mnemon: {run}: already there"),
        ("memorizing-tiny --out {new} --data {new}", "mnemon: data source '{new}': no such data set, file or folder"),
        ("memorizing --out {new}", "mnemon: no data source given: name a folder, a file or python-env with --data"),
        ("memorizing-tiny --out {new} --data=", "mnemon: no data source given"),
        ("memorizing-tiny --out {new} --train.step 3", "mnemon: --train.step: unknown flag (did you mean"),
        ("memorizing-tiny --out {new} --train.steps 0", "mnemon: memorizing-tiny: train.steps: Input should be"),
        (
            "memorizing-tiny --out {new} --train.lanes 3 --train.accumulate 2",
            "mnemon: memorizing-tiny: train: lanes 3 c",
        ),
        ("memorizing-tiny --out {new} --data text8", "mnemon: text8: give your copy as --data text8:PATH"),
        ("memorizing-tiny --out {new} --data text8:{run}/config.json", "mnemon: {run}/config.json: not the whole of"),
        ("memorizing-tiny --out {new} --data {run} --download", "mnemon: {run}: nothing to download; that is for"),
        ("all-attention-text8-small --out {new}", "mnemon: text8: give your copy as --data text8:PATH, or --download"),
        (
            "memorizing-tiny --out {new} --data {new} --model.pools.knn.index milvus:uri=http://127.0.0.1:1",
            "mnemon: milvus http://127.0.0.1:1: nothing answers there",
        ),
        ("--resume {new}", "mnemon: {new}: no such run folder"),
        ("--resume {run} --train.lanes 3", "mnemon: --train.lanes: unknown flag (did you mean '--train.steps'?)"),
        ("--resume {run} --train.steps 1", "mnemon: {run}: already trained for 3 steps"),
    ],
)
def test_what_does_not_fit_is_one_line(
    words: str, message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"run": run, "new": tmp_path / "new"}
    assert main(["train", *words.format(**places).split()]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(message.format(**places))
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_what_was_skipped_is_counted_or_an_error(
    texts: Path, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "texts", tmp_path / "run"
    shutil.copytree(texts, folder)
    (folder / "picture.txt").write_bytes(b"\x89PNG\0")
    words = ["train", "memorizing-tiny", "--data", str(folder), "--train.steps", "1", *small]
    assert main([*words, "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith("; skipped 1 binary\n")
    assert main([*words, "--out", str(tmp_path / "strict"), "--strict"]) == 2
    error = capsys.readouterr().err
    assert "picture.txt: binary" in error
    assert error.count("\n") == 1


def test_ctrl_c_before_there_is_a_run_leaves_nothing_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupted)
    assert main(["train", "memorizing-tiny", "--out", str(tmp_path / "run")]) == 130
    assert capsys.readouterr() == ("", "mnemon: interrupted\n")


def test_ctrl_c_keeps_a_checkpoint_and_says_how_to_continue(texts: Path, small: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", "memorizing-tiny", "--data", str(texts), "--out", str(out), "--train.steps", "100000", *small]
    with subprocess.Popen([sys.executable, "-m", "mnemon", *words], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (out / "metrics.jsonl").exists() or len(losses(out)) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.splitlines()[-1] == f"mnemon: interrupted; continue with: mnemon train --resume {out}"
    done = len(losses(out))
    assert main(["train", "--resume", str(out), "--train.steps", str(done + 1)]) == 0
    assert len(losses(out)) == done + 1
