import json
from pathlib import Path

import pytest
import torch

import mnemon
from mnemon.cli import main
from mnemon.hosts import save_host
from mnemon.hosts.small import SmallConfig, small_decoder, small_tokenizer


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a host that has learnt nothing."""
    folder = tmp_path_factory.mktemp("host")
    config = SmallConfig(vocab_size=270, dim=8, n_layers=1, n_heads=2, head_dim=4, window=32)
    model, tokenizer = small_decoder(config, torch.Generator().manual_seed(0)), small_tokenizer(["a text"], 270)
    save_host(mnemon.attach(model, tokenizer, layers=(0,), segment=32, overlap=8), folder)
    return str(folder)


def test_tasks_are_shown_as_a_table_or_as_json(host: str, texts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval-tasks", host, "--tasks", "passkey", "--count", "2", "--factor", "3", "--haystack", str(texts)]
    assert main([*words, "--split", "train"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "2 episodes a task, documents of 96 tokens, 3 windows"
    assert told[2].split()[:2] == ["passkey", "0.0%"]
    assert main([*words, "--split", "train", "--json", "--memory-size", "50", "--top-k", "3"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["memory"]["size"] == 50
    assert value["tasks"]["passkey"]["accuracy"] == 0
    assert value["factor"] == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tasks", "needles"], "did you mean 'needle'"),
        (["--factor", "0"], "at least 1"),
        (["--count", "1", "--split", "train"], "at least 2"),
        (["--split", "trains"], "no split 'trains'"),
    ],
)
def test_bad_input_is_one_line(
    host: str, texts: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval-tasks", host, "--haystack", str(texts), *words]) == 2
    told = capsys.readouterr().err.strip()
    assert said in told
    assert "\n" not in told


def test_a_folder_that_is_no_model_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval-tasks", str(tmp_path)]) == 2
    assert "no folder of a transformers model" in capsys.readouterr().err
    (tmp_path / "metrics.jsonl").touch()
    assert main(["eval-tasks", str(tmp_path)]) == 2
    assert "a run of mnemon" in capsys.readouterr().err
