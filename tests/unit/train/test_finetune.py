import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Phi3Config, Phi3ForCausalLM

import mnemon
import tiny
from foreign import foreign
from mnemon.config import Problem, read_json, write_json
from mnemon.data import Corpus, Document
from mnemon.hosts import Learns, MemoryConfig, load_host, start_equal
from mnemon.train import read_records
from mnemon.train.finetune import FinetuneConfig, finetune, read_finetune, resume_finetune, tuning
from readers import byte_tokenizer, llama

GATES = {"gates": 1, "queries": 2, "lora": 1 + 2 * 3 * 7}
TESTS = Path(__file__).parents[2]
KILLED = """
import sys
from pathlib import Path
from mnemon.train.finetune import finetune
sys.path.insert(0, sys.argv[2])
from test_finetune import corpus, small
said = lambda record: print(record["step"], flush=True)
finetune(small(Path(sys.argv[1]).parent / "host", "lora", train__steps=9), sys.argv[1], corpus(), said)
"""


def corpus() -> Corpus:
    documents = [Document(f"d{number}", tiny.text(number, 6)) for number in range(6)]
    return Corpus("tiny", documents, documents[:1], documents[:1], {}, "0123")


def small(host: Path, learns: Learns = "queries", **changes: Any) -> FinetuneConfig:
    memory = MemoryConfig(merge="gated", layers=(1,), size=300, top_k=4, segment=24, overlap=8, value="next")
    values = {"memory": memory, "train__steps": 4, "train__lanes": 3, "train__checkpoint_every": 2, **changes}
    return tuning(str(host), learns).replace(**values, train__precision="float32", train__warmup=0, train__device="cpu")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that transformers wrote."""
    folder = tmp_path_factory.mktemp("hosts") / "host"
    llama(dtype=torch.float32).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def losses(folder: Path) -> list[float]:
    return [record["loss"] for record in read_records(folder)]


@pytest.mark.parametrize("learns", ["gates", "queries", "lora"])
def test_only_what_was_asked_for_learns(learns: Learns, host: Path, tmp_path: Path) -> None:
    out = finetune(small(host, learns), tmp_path / "out", corpus())
    before, after = load_host(host, **dict(small(host).memory)).model.state_dict(), load_host(out).model.state_dict()
    shared = {name.replace(".base_layer", ""): weight for name, weight in after.items() if "lora_" not in name}
    changed = {name for name, weight in shared.items() if not torch.equal(weight, before[name])}
    place = "model.layers.1.self_attn."
    assert changed == {place + "memory_gate.bias", *([place + "q_proj.weight"] if learns == "queries" else [])}
    added = {name for name in after if "lora_" in name}
    assert len(added) + len(changed) == GATES[learns]
    assert set(read_json(out / "memory.json")) >= {"format", "merge", "layers"}


def test_everything_learns_and_the_loss_falls(host: Path, tmp_path: Path) -> None:
    out = finetune(small(host, "all", train__steps=30, train__lr=3e-3, negatives=2), tmp_path / "out", corpus())
    found = losses(out)
    assert sum(found[-5:]) < sum(found[:5]) - 2
    assert read_records(out)[-1]["tokens"] > 0


@pytest.mark.parametrize("learns", ["queries", "lora"])
def test_the_folder_is_one_of_transformers_too(learns: Learns, host: Path, tmp_path: Path) -> None:
    out = finetune(small(host, learns), tmp_path / "out", corpus())
    memory, plain = load_host(out), AutoModelForCausalLM.from_pretrained(out)
    ids = torch.arange(2, 20)[None]
    with torch.no_grad():
        assert torch.equal(memory.model.eval()(ids).logits, plain.eval()(ids).logits)
    assert memory.config == small(host).memory
    memory.read(text="a memory is there", document="a")
    assert not torch.equal(memory.model(ids).logits, plain(ids).logits)


def test_checkpointing_makes_the_same_losses(host: Path, tmp_path: Path) -> None:
    config = small(host, "all", negatives=1)
    plain = finetune(config, tmp_path / "plain", corpus())
    again = finetune(config.replace(checkpointing=True), tmp_path / "again", corpus())
    assert losses(again) == pytest.approx(losses(plain), rel=1e-5)
    assert len(losses(again)) == 4


def test_after_kill_9_the_remaining_losses_are_those_of_a_run_never_interrupted(host: Path, tmp_path: Path) -> None:
    (tmp_path / "host").symlink_to(host)

    words = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "cut"), str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 5:
                process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    whole = finetune(small(tmp_path / "host", "lora", train__steps=9), tmp_path / "whole", corpus())
    resume_finetune(tmp_path / "cut", corpus())
    assert losses(tmp_path / "cut") == losses(whole)
    first, second = (load_host(tmp_path / name).model.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_ctrl_c_saves_a_checkpoint_and_more_steps_follow(host: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "out", small(host, train__steps=5)

    def stop(record: dict[str, float]) -> None:
        if record["step"] == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        finetune(config, out, corpus(), stop)
    assert not (out / "memory.json").exists()
    resume_finetune(out, corpus())
    assert losses(out) == losses(finetune(config, tmp_path / "whole", corpus()))
    resume_finetune(out, corpus(), steps=6)
    assert len(losses(out)) == 6
    with pytest.raises(Problem, match="already trained for 6 steps"):
        resume_finetune(out, corpus(), steps=5)


def test_without_memory_it_is_another_training(host: Path, tmp_path: Path) -> None:
    with_memory = finetune(small(host, "all"), tmp_path / "with", corpus())
    without = finetune(small(host, "all", remember=False), tmp_path / "without", corpus())
    assert losses(with_memory) != losses(without)


def test_bad_input_is_said(host: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Problem, match="no gate to learn"):
        finetune(small(host, "gates", memory=MemoryConfig(merge="joint")), out, corpus())
    with pytest.raises(Problem, match="no such folder, and no model of the hub"):
        finetune(small(tmp_path / "nobody"), out, corpus())
    with pytest.raises(Problem, match=r"train\.segment 99: .* 16; leave it out"):
        finetune(small(host, train__segment=99), out, corpus())
    with pytest.raises(Problem, match="PEFT refuses them"):
        finetune(small(host, "lora", lora__modules=("nothing",)), out, corpus())
    with pytest.raises(Problem, match=r"train\.drift_every 2: only mnemon train looks at that"):
        finetune(small(host, train__drift_every=2), out, corpus())
    with pytest.raises(Problem, match=r"negatives 3: .* and these are 2"):
        finetune(small(host, negatives=3), out, corpus())
    with pytest.raises(Problem, match="which lora leaves"):
        finetune(small(host, "lora", equal_start=2.0), out, corpus())
    assert not out.exists()
    with pytest.raises(Problem, match="no fine-tuning to continue"):
        resume_finetune(tmp_path, corpus())
    finetune(small(host, train__steps=1), out, corpus())
    with pytest.raises(Problem, match="already there"):
        finetune(small(host), out, corpus())
    values = read_json(out / "finetune.json")
    write_json(out / "finetune.json", {**values, "digest": "llama other"})
    with pytest.raises(Problem, match="other weights than when"):
        resume_finetune(out, corpus(), steps=2)
    write_json(out / "finetune.json", {**values, "version": 99})
    with pytest.raises(Problem, match="not the config of a fine-tuning"):
        read_finetune(out)


def test_queries_start_as_keys_where_asked() -> None:
    for model, gain in ((llama(), 1.0), (foreign("qwen3"), 3.0)):
        memory = mnemon.attach(model, layers=(1,))
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        start_equal(memory, 3.0)
        after, place = model.state_dict(), "model.layers.1.self_attn."
        keys = before[place + "k_proj.weight"].unflatten(0, (2, -1))
        queries = after[place + "q_proj.weight"].unflatten(0, (4, -1))
        for head in range(4):
            torch.testing.assert_close(queries[head], keys[head // 2] * 3.0 / gain)
        if place + "q_norm.weight" in after:
            torch.testing.assert_close(after[place + "q_norm.weight"], before[place + "k_norm.weight"] * 3.0)
        changed = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
        assert {name.removeprefix(place).split("_")[0] for name in changed} == {"q"}


def test_a_missing_peft_names_the_extra(host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(Problem, match=r"mnemon\[peft\]"):
        finetune(small(host, "lora"), tmp_path / "out", corpus())


def test_queries_that_share_a_matrix_with_keys_cannot_learn_alone() -> None:
    model = Phi3ForCausalLM(
        Phi3Config(
            vocab_size=31,
            hidden_size=16,
            intermediate_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            pad_token_id=0,
        )
    )
    with pytest.raises(Problem, match="one matrix"):
        mnemon.hosts.let_learn(mnemon.attach(model), "queries")


def test_where_all_learns_a_gradient_reaches_every_weight_that_does() -> None:
    """Under DistributedDataParallel a weight without one is an error."""
    model, ids = foreign("ernie4_5_moe"), torch.arange(40, 57)[None]
    mnemon.hosts.let_learn(mnemon.attach(model), "all")
    model(input_ids=ids, labels=ids).loss.backward()
    assert not [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
