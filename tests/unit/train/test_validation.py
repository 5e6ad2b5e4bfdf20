from pathlib import Path

import pytest
import torch

import tiny
from mnemon.config import Problem
from mnemon.data import Corpus, Lanes
from mnemon.data.byte_tokens import Bytes
from mnemon.train import TrainConfig, read_records, resume, train
from mnemon.train.trainer import Trainer
from mnemon.train.validation import validate


def test_the_loss_is_the_mean_over_all_tokens_of_what_a_model_that_reads_on_says() -> None:
    model = tiny.model("memorizing", dropout=0.5).build()
    trainer = Trainer(model, TrainConfig(lanes=3, device="cpu"))
    before = trainer.tensors()["memory"]
    found = validate(trainer, Lanes(tiny.documents(3), Bytes(), 3, 16, 0, shuffle=False, epochs=1), batches=4)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.tensors()["memory"].items())
    model.eval()
    state, nll, tokens = model.init_state(3), 0.0, 0
    lanes = Lanes(tiny.documents(3), Bytes(), 3, 16, 0, shuffle=False, epochs=1)
    for batch in (next(lanes) for _ in range(4)):
        state.reset(batch.starts)
        with torch.no_grad():
            output, update = model(batch.tokens, state, batch.lengths)
            nll += float(model.head.nll(output.hidden, batch.targets).sum())
        state.commit(update, batch.ends)
        tokens += int((batch.targets >= 0).sum())
    assert found == pytest.approx(nll / tokens, rel=1e-6)


def test_a_run_looks_at_unseen_documents_and_trains_as_it_would_without(tmp_path: Path) -> None:
    plain = read_records(train(tiny.run_config(), tmp_path / "plain", tiny.corpus()))
    out = train(tiny.run_config(valid_every=4, valid_batches=2), tmp_path / "run", tiny.corpus())
    records = read_records(out)
    assert [record["loss"] for record in records] == [record["loss"] for record in plain]
    assert [record["step"] for record in records if "valid_loss" in record] == [4, 8, 12]
    resume(out, tiny.corpus(), steps=16)
    assert "valid_loss" in read_records(out)[-1]


def test_a_corpus_without_unseen_documents_is_a_problem(tmp_path: Path) -> None:
    corpus = Corpus("tiny", tiny.documents(), [], [], {}, "0123")
    with pytest.raises(Problem, match="valid_every 4: tiny has no unseen documents"):
        train(tiny.run_config(valid_every=4), tmp_path / "run", corpus)
