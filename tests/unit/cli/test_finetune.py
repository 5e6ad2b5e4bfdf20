import json
from pathlib import Path

import pytest
import torch

from mnemon.cli import main
from mnemon.config import read_json
from readers import byte_tokenizer, llama

SMALL = [
    "--train.lanes=2", "--memory.segment=24", "--memory.overlap=8", "--memory.top-k=4", "--memory.size=200",
    "--train.precision=float32", "--train.checkpoint-every=2", "--train.lr=5e-3", "--train.warmup=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hosts") / "host"
    llama(dtype=torch.float32).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


def test_a_host_is_tuned_and_tuned_further(
    host: str, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "tuned")
    words = ["finetune", host, "--data", str(texts), "--out", out, "--learns", "all", "--train.steps", "12"]
    assert (
        main([*words, "--negatives", "1", "--memory.value", "next", "--memory.layers", "0", "2", "--json", *SMALL]) == 0
    )
    said = capsys.readouterr()
    value = json.loads(said.out)
    assert value["folder"] == out
    assert value["step"] == 12
    assert "tokens/s" in said.err
    config = read_json(tmp_path / "tuned" / "finetune.json")
    assert (config["memory"]["layers"], config["memory"]["value"], config["negatives"]) == ([0, 2], "next", 1)
    assert config["train"]["lr"] == 5e-3
    losses = [json.loads(line)["loss"] for line in (tmp_path / "tuned" / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0] - 0.1
    assert main(["finetune", "--resume", out, "--train.steps", "13"]) == 0
    assert "all of" in capsys.readouterr().out
    assert main(["finetune", "--resume", out, "--train.steps", "13"]) == 0
    assert "nothing left to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "MODEL is missing"),
        (["nobody"], "Missing from mnemon finetune nobody: --out"),
        (["nobody", "--out", "x"], "nobody: no such folder, and no model of the hub"),
        (["nobody", "--out", "x", "--learns", "gate"], "did you mean 'gates'"),
        (["nobody", "--out", "x", "--memory.topk", "3"], "--memory.topk: unknown flag (did you mean"),
        (["--resume", "x"], "no fine-tuning to continue"),
        (["--resume", "x", "--train.steps", "0"], "--train.steps 0: train to a step from 1 on"),
    ],
)
def test_bad_words_are_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["finetune", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
