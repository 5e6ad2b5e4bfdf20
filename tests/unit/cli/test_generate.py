import json
from pathlib import Path

import pytest

from mnemon.cli import main


@pytest.fixture(scope="module")
def run(texts: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "memorizing-tiny", "--data", str(texts), "--out", str(out), "--train.steps=3", *small]) == 0
    return out


def written(run: Path, flags: str, capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["generate", str(run), "--prompt", "name1 =", "--max-tokens=12", "--json", *flags.split()]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_holds_text_tokens_and_what_was_remembered(
    run: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = written(run, f"--remember {texts}/0.txt {texts}/1.txt", capsys)
    assert found["prompt"] == "name1 ="
    assert len(found["tokens"]) == 12
    assert [each["name"] for each in found["remembered"]] == [f"{texts}/0.txt", f"{texts}/1.txt"]
    assert found["remembered"][1]["first"] == found["remembered"][0]["end"] > 0


def test_a_seed_writes_the_same_text_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, again, other = (written(run, f"--seed {seed}", capsys) for seed in (1, 1, 2))
    assert first == again
    assert first["tokens"] != other["tokens"]


def test_temperature_0_and_top_k_1_take_the_likeliest(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    greedy, first = (written(run, flags, capsys) for flags in ("--temperature 0", "--top-k 1 --seed 5"))
    assert greedy["tokens"] == first["tokens"]
    assert written(run, "--top-p 0.000001 --seed 7", capsys)["tokens"] == greedy["tokens"]


def test_text_is_printed_as_it_is_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = written(run, "", capsys)
    assert main(["generate", str(run), "--prompt", "name1 =", "--max-tokens=12"]) == 0
    assert capsys.readouterr().out == found["text"] + "\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--prompt x", "mnemon: Missing from mnemon generate: PATH run folder"),
        ("{run}", "mnemon: Missing from mnemon generate: --prompt STR"),
        ("{new} --prompt x", "mnemon: {new}: no such run folder"),
        ("{run} --prompt x --remember {new}", "mnemon: {new}: cannot be read (No such file or directory)"),
        ("{run} --prompt x --remember {run}/model.safetensors", "mnemon: {run}/model.safetensors: binary; only UTF-8"),
        ("{run} --prompt x --temperature -1", "mnemon: temperature -1.0: must be 0"),
        ("{run} --prompt x --top-p 2", "mnemon: top_p 2.0: must be above 0 and at most 1"),
        ("{run} --prompt x --temprature 1", "mnemon: --temprature: unknown flag (did you mean '--temperature'?)"),
    ],
)
def test_what_does_not_fit_is_one_line(
    words: str, message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"run": run, "new": tmp_path / "new"}
    assert main(["generate", *words.format(**places).split()]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(message.format(**places))
    assert error.count("\n") == 1
