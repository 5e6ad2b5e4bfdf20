import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mnemon.cli import main
from mnemon.train import load_run


@pytest.fixture(scope="module")
def run(texts: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "memorizing-tiny", "--data", str(texts), "--out", str(out), "--train.steps=2", *small]) == 0
    return out


def test_a_run_is_loaded_by_the_auto_classes(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), str(tmp_path / "out"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(said["files"])
    trained = load_run(run)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.num_parameters() == said["parameters"]
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")("name1 = name2", return_tensors="pt")["input_ids"]
    assert ids.tolist() == [[256, *trained.tokenizer.encode("name1 = name2")]]
    with torch.no_grad():
        output, _ = trained.model(ids, trained.model.init_state(1))
        assert torch.equal(model(ids).logits, trained.model.head.logits(output.hidden))


def test_bad_input_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "nothing"), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"mnemon: {tmp_path / 'nothing'}: no such run folder\n"
    assert main(["export", str(run), str(run)]) == 2
    assert "already there; choose another folder" in capsys.readouterr().err
