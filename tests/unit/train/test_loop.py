import json
import os
import shutil
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from mnemon.config import Problem
from mnemon.data import Corpus, DataConfig, Document, make_tokenizer
from mnemon.data.byte_tokens import Bytes
from mnemon.train import OPTIMIZERS, Record, RunConfig, load_run, loop, read_records, resume, session, train
from mnemon.train.checkpoint import saved_steps
from mnemon.train.run import pick_device

DROPOUT = {"dropout": 0.2, "final_dropout": 0.1}


def losses(out: Path) -> list[float]:
    """The losses of a run, whose steps must be 1, 2, 3 and so on."""
    records = read_records(out)
    assert [record["step"] for record in records] == list(range(1, len(records) + 1))
    return [record["loss"] for record in records]


def drop_newest(out: Path) -> None:
    checkpoints = out / "checkpoints"
    shutil.rmtree(checkpoints / f"step-{saved_steps(checkpoints)[0]}")


def stop_at(step: int) -> Any:
    def on_step(record: Record) -> None:
        if record["step"] == step:
            raise RuntimeError("pulled the plug")

    return on_step


def test_a_run_folder_holds_what_is_promised(tmp_path: Path) -> None:
    seen: list[Record] = []
    out = train(tiny.run_config(), tmp_path / "run", tiny.corpus(), on_step=seen.append)
    assert {path.name for path in out.iterdir()} - {"tensorboard"} == {
        "config.json",
        "tokenizer.json",
        "corpus.json",
        "model.safetensors",
        "metrics.jsonl",
        "checkpoints",
    }
    assert seen == read_records(out)
    assert len(losses(out)) == 12
    assert saved_steps(out / "checkpoints") == [12, 10]
    config = json.loads((out / "config.json").read_text())
    assert config["format"] == "mnemon-run"
    assert config["train"]["segment"] == config["model"]["segment"] == 16
    suffixes = {path.suffix for path in (out / "checkpoints").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}


def test_the_newest_weights_lie_beside_the_config(tmp_path: Path) -> None:
    out = train(tiny.run_config(), tmp_path / "run", tiny.corpus())
    last = load_file(out / "checkpoints" / "step-12" / "model.safetensors")
    newest = load_file(out / "model.safetensors")
    model = load_run(out).model
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, newest[name])
        assert torch.equal(tensor, last[name])


@pytest.mark.parametrize("kind", tiny.POOLS)
def test_a_resumed_run_has_the_losses_of_one_never_interrupted(tmp_path: Path, kind: str) -> None:
    config = tiny.run_config(kind, DROPOUT)
    whole = train(config, tmp_path / "whole", tiny.corpus())
    with pytest.raises(RuntimeError, match="pulled the plug"):
        train(config, tmp_path / "cut", tiny.corpus(), on_step=stop_at(8))
    assert len(losses(tmp_path / "cut")) == 8
    torch.rand(3)  # other random numbers were drawn in between
    resume(tmp_path / "cut", tiny.corpus())
    assert losses(tmp_path / "cut") == losses(whole)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_resuming_is_exact_for_every_optimizer_and_precision(
    tmp_path: Path, optimizer: str, precision: str, accumulate: int
) -> None:
    config = tiny.run_config("memorizing", optimizer=optimizer, precision=precision, accumulate=accumulate)
    whole = train(config, tmp_path / "whole", tiny.corpus())
    shutil.copytree(whole, tmp_path / "again")
    drop_newest(tmp_path / "again")
    resume(tmp_path / "again", tiny.corpus())
    assert losses(tmp_path / "again") == losses(whole)


def test_a_run_interrupted_again_and_again_ends_the_same(tmp_path: Path) -> None:
    config = tiny.run_config("memorizing", DROPOUT, checkpoint_every=2)
    whole = train(config, tmp_path / "whole", tiny.corpus())
    with pytest.raises(RuntimeError):
        train(config, tmp_path / "cut", tiny.corpus(), on_step=stop_at(1))
    for step in (3, 6, 7, 11):
        with pytest.raises(RuntimeError):
            resume(tmp_path / "cut", tiny.corpus(), on_step=stop_at(step))
    resume(tmp_path / "cut", tiny.corpus())
    assert losses(tmp_path / "cut") == losses(whole)
    assert load_file(tmp_path / "cut" / "model.safetensors").keys() == load_file(whole / "model.safetensors").keys()
    for name, tensor in load_file(whole / "model.safetensors").items():
        assert torch.equal(tensor, load_file(tmp_path / "cut" / "model.safetensors")[name])


def test_ctrl_c_saves_after_the_step_and_the_rest_is_the_same(tmp_path: Path) -> None:
    whole = train(tiny.run_config(), tmp_path / "whole", tiny.corpus())

    def press(record: Record) -> None:
        if record["step"] == 7:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(tiny.run_config(), tmp_path / "cut", tiny.corpus(), on_step=press)
    assert signal.getsignal(signal.SIGINT) is before
    assert saved_steps(tmp_path / "cut" / "checkpoints") == [7, 5]
    assert len(losses(tmp_path / "cut")) == 7
    resume(tmp_path / "cut", tiny.corpus())
    assert losses(tmp_path / "cut") == losses(whole)


def test_training_leaves_random_numbers_and_threads_as_they_were(tmp_path: Path) -> None:
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    train(tiny.run_config("memorizing", DROPOUT, threads=1, steps=2), tmp_path / "run", tiny.corpus())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_decides_the_losses(tmp_path: Path) -> None:
    found = [
        losses(train(tiny.run_config("memorizing", DROPOUT, seed=seed), tmp_path / name, tiny.corpus()))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with pytest.raises(Problem, match="already there; choose another folder"):
        train(tiny.run_config(), tmp_path / "run", tiny.corpus())
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Problem, match="already there"):
        train(tiny.run_config(), tmp_path / "file", tiny.corpus())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    train(tiny.run_config(steps=1), tmp_path / "run", tiny.corpus())
    assert len(losses(tmp_path / "run")) == 1


def test_a_finished_run_resumed_changes_nothing_and_more_steps_continue_it(tmp_path: Path) -> None:
    out = train(tiny.run_config(schedule="constant"), tmp_path / "run", tiny.corpus())
    done = losses(out)
    resume(out, tiny.corpus())
    assert losses(out) == done
    resume(out, tiny.corpus(), steps=15)
    assert losses(out)[:12] == done
    assert len(losses(out)) == 15
    assert json.loads((out / "config.json").read_text())["train"]["steps"] == 15
    with pytest.raises(Problem, match="already trained for 15 steps, more than 12"):
        resume(out, tiny.corpus(), steps=12)


def test_a_damaged_newest_checkpoint_is_passed_over_with_a_word(tmp_path: Path) -> None:
    out = train(tiny.run_config(), tmp_path / "run", tiny.corpus())
    done = losses(out)
    (out / "checkpoints" / "step-12" / "optimizer.safetensors").write_bytes(b"torn")
    with pytest.warns(UserWarning, match=r"step-12/optimizer.safetensors: damaged.*before, step 10"):
        resume(out, tiny.corpus())
    assert losses(out) == done
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resume(out, tiny.corpus())


def test_a_checkpoint_of_another_kind_of_model_is_a_problem(tmp_path: Path) -> None:
    out = train(tiny.run_config("memorizing"), tmp_path / "run", tiny.corpus())
    other = train(tiny.run_config("all-attention"), tmp_path / "other", tiny.corpus())
    for step in (10, 12):
        shutil.rmtree(out / "checkpoints" / f"step-{step}")
    shutil.copytree(other / "checkpoints" / "step-12", out / "checkpoints" / "step-12")
    with pytest.raises(Problem, match="step-12: made by another kind of run"):
        resume(out, tiny.corpus())


def test_a_checkpoint_of_another_optimizer_is_a_problem(tmp_path: Path) -> None:
    out = train(tiny.run_config(optimizer="muon"), tmp_path / "run", tiny.corpus())
    config = json.loads((out / "config.json").read_text())
    config["train"]["optimizer"] = "adamw"
    (out / "config.json").write_text(json.dumps(config))
    with pytest.raises(Problem, match=r"step-12: made by another kind of run .*optimizer 'muon'"):
        resume(out, tiny.corpus())


def test_other_texts_than_before_are_a_problem(tmp_path: Path) -> None:
    out = train(tiny.run_config(steps=2), tmp_path / "run", tiny.corpus())
    other = Corpus("tiny", tiny.documents(), [], [], {}, "4567")
    with pytest.raises(Problem, match="made from other texts than tiny holds now"):
        resume(out, other)


def test_a_loss_that_is_no_number_stops_with_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(record: Record) -> None:
        if record["step"] == 7:
            monkeypatch.setattr(torch.Tensor, "backward", lambda self: None)
            monkeypatch.setattr("mnemon.train.trainer.math.isfinite", lambda number: False)

    with pytest.raises(Problem, match=r"step 8: the loss is .*stopped, .*step-5 is kept"):
        train(tiny.run_config(), tmp_path / "run", tiny.corpus(), on_step=poison)
    monkeypatch.undo()
    assert len(losses(tmp_path / "run")) == 7
    resume(tmp_path / "run", tiny.corpus())
    assert len(losses(tmp_path / "run")) == 12


def test_a_rate_that_breaks_the_weights_is_noticed(tmp_path: Path) -> None:
    config = tiny.run_config(lr=1e38, clip=None, warmup=0, schedule="constant", eps=1e-30)
    with pytest.raises(Problem, match=r"step \d+: the (loss|gradient norm) is (nan|inf|-inf)"):
        train(config, tmp_path / "run", tiny.corpus())
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "run" / "model.safetensors").values())


def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(record: Record) -> None:
        if record["step"] == 8:
            monkeypatch.setattr(os, "rename", full)

    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    whole = train(tiny.run_config(), tmp_path / "whole", tiny.corpus())
    with pytest.raises(Problem, match=r"step-10: the checkpoint could not be saved .*No space left"):
        train(tiny.run_config(), tmp_path / "run", tiny.corpus(), on_step=fill)
    monkeypatch.undo()
    assert saved_steps(tmp_path / "run" / "checkpoints") == [5, 0]
    resume(tmp_path / "run", tiny.corpus())
    assert losses(tmp_path / "run") == losses(whole)


@pytest.mark.parametrize(
    ("module", "function", "said"),
    [
        ("mnemon.train.loop", "write_weights", r"model.safetensors: cannot be written .*No space left"),
        ("mnemon.train.metrics.json", "dumps", r"metrics.jsonl: cannot be written .*No space left"),
    ],
)
def test_a_disk_that_fills_elsewhere_is_a_problem_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, function: str, said: str
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    def fill(record: Record) -> None:
        monkeypatch.setattr(f"{module}.{function}", full)

    whole = train(tiny.run_config(), tmp_path / "whole", tiny.corpus())
    with pytest.raises(Problem, match=said):
        train(tiny.run_config(), tmp_path / "run", tiny.corpus(), on_step=fill)
    monkeypatch.undo()
    resume(tmp_path / "run", tiny.corpus())
    assert losses(tmp_path / "run") == losses(whole)


@pytest.mark.parametrize("torn", [b"", b"\n", b'{"step": 13, "lo', b'{"step": 11, "loss": 1.0}\n{"st'])
def test_a_torn_line_of_metrics_is_dropped(tmp_path: Path, torn: bytes) -> None:
    out = train(tiny.run_config(), tmp_path / "run", tiny.corpus())
    done = losses(out)
    with open(out / "metrics.jsonl", "ab") as lines:
        lines.write(torn)
    drop_newest(out)
    resume(out, tiny.corpus())
    assert losses(out) == done


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    out = train(tiny.run_config(steps=1), tmp_path / "run", tiny.corpus())
    (out / ".model.safetensors.0a1b2c3d").write_bytes(b"half")
    (out / "checkpoints" / ".step-1.0a1b2c3d").mkdir()
    (out / ".notes").write_text("mine")
    resume(out, tiny.corpus(), steps=2)
    assert [path.name for path in out.rglob(".*")] == [".notes"]


def test_a_run_can_start_from_the_weights_of_another(tmp_path: Path) -> None:
    first = train(tiny.run_config("transformer-xl"), tmp_path / "first", tiny.corpus())
    out = train(tiny.run_config("memorizing", steps=1, lr=1e-9), tmp_path / "run", tiny.corpus(), start_from=first)
    before, after = load_file(first / "model.safetensors"), load_file(out / "model.safetensors")
    assert after.keys() - before.keys() == {"blocks.1.attention.gate"}
    for name, tensor in before.items():
        assert torch.allclose(tensor, after[name], atol=1e-6)


def test_a_run_interrupted_before_its_first_step_keeps_the_weights_it_started_from(tmp_path: Path) -> None:
    first = train(tiny.run_config("transformer-xl"), tmp_path / "first", tiny.corpus())
    config = tiny.run_config("memorizing")
    whole = train(config, tmp_path / "whole", tiny.corpus(), start_from=first)
    with pytest.raises(RuntimeError):
        train(config, tmp_path / "cut", tiny.corpus(), on_step=stop_at(1), start_from=first)
    shutil.rmtree(first)
    resume(tmp_path / "cut", tiny.corpus())
    assert losses(tmp_path / "cut") == losses(whole)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dim": 48}, r"'blocks.0.attention.k.weight' is \[32, 32\] there and \[32, 48\] in this model"),
        ({"n_layers": 3}, "lacks 'blocks.2."),
        ({"n_layers": 1, "pools": tiny.POOLS["vanilla"]}, "holds 'blocks.1.*which this model has not"),
    ],
)
def test_weights_that_do_not_fit_are_a_problem(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    first = train(tiny.run_config("transformer-xl", steps=1), tmp_path / "first", tiny.corpus())
    with pytest.raises(Problem, match=said):
        train(tiny.run_config("memorizing", changes), tmp_path / "run", tiny.corpus(), start_from=first)
    assert not (tmp_path / "run").exists()


def test_a_run_begun_from_another_takes_its_tokenizer(tmp_path: Path) -> None:
    symbols = make_tokenizer(DataConfig(tokenizer="symbols"), tiny.documents())
    first = train(tiny.run_config("memorizing", {"vocab_size": 0}, steps=1), tmp_path / "first", tiny.corpus(), symbols)
    config = tiny.run_config("memorizing", {"vocab_size": 0}, steps=1)
    out = train(config, tmp_path / "run", tiny.corpus(), start_from=first)
    assert load_run(out).tokenizer.values() == symbols.values()
    with pytest.raises(Problem, match="its weights belong to another tokenizer"):
        train(config, tmp_path / "third", tiny.corpus(), Bytes(), start_from=first)


def test_the_vocabulary_is_that_of_the_tokenizer_or_larger(tmp_path: Path) -> None:
    for size, wanted in ((0, 257), (300, 300)):
        out = train(tiny.run_config("memorizing", {"vocab_size": size}, steps=1), tmp_path / str(size), tiny.corpus())
        assert load_run(out).config.model.vocab_size == wanted
    with pytest.raises(Problem, match="vocab_size 100: the tokenizer has 257"):
        train(tiny.run_config("memorizing", {"vocab_size": 100}), tmp_path / "small", tiny.corpus())


def test_the_segment_of_training_is_that_of_the_model(tmp_path: Path) -> None:
    out = train(tiny.run_config(segment=8, steps=2), tmp_path / "run", tiny.corpus())
    assert load_run(out).model.config.segment == 8


def test_a_device_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(Problem, match=f"device '{missing}': not available"):
        train(tiny.run_config(device=missing), tmp_path / "run", tiny.corpus())


def test_documents_shorter_than_a_segment_are_trained_on(tmp_path: Path) -> None:
    short = [Document(f"s{k}", "abc" * (k % 3 + 1)) for k in range(5)]
    corpus = Corpus("short", short, [], [], {}, "x")
    assert len(losses(train(tiny.run_config(), tmp_path / "run", corpus))) == 12


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_run_folder_is_a_problem_that_names_the_file(tmp_path: Path, file: str) -> None:
    out = train(tiny.run_config(steps=1), tmp_path / "run", tiny.corpus())
    (out / file).write_text("{]")
    with pytest.raises(Problem, match=file):
        load_run(out)
    (out / file).unlink()
    with pytest.raises(Problem, match=file):
        load_run(out)


def test_a_folder_that_is_no_run_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no such run folder"):
        load_run(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text('{"a": 1}')
    with pytest.raises(Problem, match=r"config.json: not the config of a run"):
        resume(tmp_path)
    (tmp_path / "config.json").write_text('{"format": "mnemon-run", "version": 9}')
    with pytest.raises(Problem, match="run format 9, this mnemon reads 1"):
        load_run(tmp_path)


def test_a_tokenizer_that_the_model_is_too_small_for_is_a_problem(tmp_path: Path) -> None:
    symbols = make_tokenizer(DataConfig(tokenizer="symbols"), tiny.documents())
    out = train(tiny.run_config("memorizing", {"vocab_size": 0}, steps=1), tmp_path / "run", tiny.corpus(), symbols)
    Bytes().save(out / "tokenizer.json")
    with pytest.raises(Problem, match=r"tokenizer.json: 257 tokens, but the model has \d+"):
        load_run(out)


def test_auto_is_a_device_that_is_there() -> None:
    assert pick_device("auto").type in ("cuda", "mps", "cpu")


def test_weights_of_another_model_are_a_problem_when_a_run_is_loaded(tmp_path: Path) -> None:
    out = train(tiny.run_config(steps=1), tmp_path / "run", tiny.corpus())
    weights = load_file(out / "model.safetensors")
    gate = weights.pop("blocks.1.attention.gate")
    save_file(weights, out / "model.safetensors")
    with pytest.raises(Problem, match=r"lacks 'blocks.1.attention.gate'"):
        load_run(out)
    save_file({**weights, "blocks.1.attention.gate": gate, "more": gate.clone()}, out / "model.safetensors")
    with pytest.raises(Problem, match="holds 'more', which this model has not"):
        load_run(out)


def test_a_run_that_can_be_resumed_has_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[list[int]] = []
    save, write = session.save, loop.write_config

    def slow(*words: Any) -> Path:
        time.sleep(0.1)
        return save(*words)

    def noting(out: Path, config: RunConfig) -> None:
        there.append(saved_steps(out / "checkpoints"))
        write(out, config)

    monkeypatch.setattr(session, "save", slow)
    monkeypatch.setattr(loop, "write_config", noting)
    train(tiny.run_config(steps=1, save_beside=True), tmp_path / "run", tiny.corpus())
    assert there == [[0]]
