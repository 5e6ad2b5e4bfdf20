from pathlib import Path

import pytest
import torch

import mnemon
from mnemon.config import Problem
from mnemon.hosts.folder import load_host, save_host
from mnemon.hosts.small import SmallConfig, alike, small_decoder, small_tokenizer

TEXT = "the pass key of velkor is 40213, and no other\n" * 9
SMALL = SmallConfig(vocab_size=280, dim=12, n_layers=2, n_heads=3, head_dim=4, window=16)


def host(**settings: object) -> mnemon.Memory:
    model = small_decoder(SMALL, torch.Generator().manual_seed(0))
    return mnemon.attach(model, small_tokenizer([TEXT], SMALL.vocab_size), segment=16, overlap=4, **settings)


def test_a_host_is_as_it_was_saved(tmp_path: Path) -> None:
    saved = host(merge="gated", age=True, layers=(1,), value="next")
    torch.nn.init.uniform_(saved.model.model.layers[1].self_attn.memory_gate.slope, -1, 1)
    save_host(saved, tmp_path / "host")
    loaded = load_host(tmp_path / "host")
    assert loaded.config == saved.config
    logits = []
    for memory in (saved, loaded):
        memory.read(text=TEXT, document="a")
        ids = memory.tokenizer("the pass key", return_tensors="pt")["input_ids"]
        logits.append(memory.model.eval()(ids).logits)
    assert torch.equal(*logits)


def test_settings_can_be_changed(tmp_path: Path) -> None:
    save_host(host(layers=(1,)), tmp_path)
    assert load_host(tmp_path, size=99, top_k=3).config.size == 99
    with pytest.raises(Problem, match="smaller than top_k"):
        load_host(tmp_path, size=2, top_k=3)


def test_a_folder_of_transformers_gets_a_memory(tmp_path: Path) -> None:
    memory = host()
    memory.model.save_pretrained(tmp_path)
    memory.tokenizer.save_pretrained(tmp_path)
    assert load_host(tmp_path).config == mnemon.MemoryConfig()


def test_what_is_no_host_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Problem, match="no such folder"):
        load_host(tmp_path / "nothing")
    save_host(host(), tmp_path)
    (tmp_path / "memory.json").write_text("[]")
    with pytest.raises(Problem, match="not the settings"):
        load_host(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(Problem, match="cannot load it"):
        load_host(tmp_path)
    assert "it/s" not in capfd.readouterr().err


def test_gates_of_other_layers_are_refused(tmp_path: Path) -> None:
    save_host(host(merge="gated", layers=(1,)), tmp_path)
    with pytest.raises(Problem, match="other layers"):
        load_host(tmp_path, layers=(0,))


def test_every_digit_is_a_token_of_its_own() -> None:
    tokenizer = small_tokenizer([TEXT], SMALL.vocab_size)
    ids = tokenizer("is 40213", add_special_tokens=False)["input_ids"]
    assert [tokenizer.decode([token]) for token in ids][-5:] == list("40213")
    assert tokenizer.decode(tokenizer("né 1\n", add_special_tokens=False)["input_ids"]) == "né 1\n"


def test_the_same_text_meets_itself_best() -> None:
    memory = host(layers=(1,))
    alike(memory, 3.0)
    layer = memory.model.model.layers[1].self_attn
    assert torch.equal(layer.q_proj.weight, layer.k_proj.weight)
    memory.read(text=TEXT[:46], document="a")
    document = memory.documents[0]
    keys = document.keys[1]
    scores = 3 * keys @ keys.mT
    best = scores.argmax(-1)
    assert (best == torch.arange(len(document))).float().mean() > 0.8
