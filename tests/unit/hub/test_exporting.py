from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

import tiny
from mnemon.config import Problem
from mnemon.data.byte_tokens import Bytes
from mnemon.generate import Sampling, generate
from mnemon.hub import export

PROMPT = tiny.text(3, 1)[:23]


@pytest.mark.parametrize("kind", ["vanilla", "all-attention", "memorizing-joint"])
def test_what_is_exported_reads_and_writes_as_the_model_did(kind: str, tmp_path: Path) -> None:
    own = tiny.model(kind, vocab_size=300).build(seed=3).eval()
    own.embedding.table.data[257:] *= 30  # ids without a token would be the likeliest
    export(own, Bytes(), tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    inputs = tokenizer([PROMPT, "x"], return_tensors="pt", padding=True)
    with torch.no_grad():
        output, _ = own(inputs["input_ids"][:1, :16], own.init_state(1))
        assert torch.equal(model(inputs["input_ids"][:1, :16]).logits, own.head.logits(output.hidden))
    found = model.generate(**inputs, max_new_tokens=8, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    for row, prompt in enumerate((PROMPT, "x")):
        wanted = generate(own, Bytes(), prompt, sampling=Sampling(max_tokens=8, temperature=0.0))
        assert tuple(found[row].tolist()) == wanted.tokens
        assert tokenizer.decode(found[row], skip_special_tokens=True) == wanted.text


def test_a_pipeline_writes_on(tmp_path: Path) -> None:
    own = tiny.model().build(seed=3).eval()
    export(own, Bytes(), tmp_path / "out")
    write = pipeline("text-generation", model=str(tmp_path / "out"), device="cpu")
    found = write([PROMPT, "x"], max_new_tokens=9, do_sample=False, return_full_text=False, batch_size=2)
    for (each,), prompt in zip(found, (PROMPT, "x"), strict=True):
        wanted = generate(own, Bytes(), prompt, sampling=Sampling(max_tokens=9, temperature=0.0))
        assert each["generated_text"] == wanted.text


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(tiny.model().build(), Bytes(), tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(Problem, match="out: already there; choose another folder"):
        export(tiny.model().build(seed=1), Bytes(), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_nothing_stays_of_an_export_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        export(tiny.model().build(), Bytes(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
