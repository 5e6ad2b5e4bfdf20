"""What lanes have read can be read again, which shows how stale the memory is, and renews it."""

from pathlib import Path

import pytest
import torch

import tiny
from mnemon.config import Problem
from mnemon.data import Lanes
from mnemon.data.byte_tokens import Bytes
from mnemon.model import key_drift
from mnemon.train import TrainConfig, Trainer, read_records, resume, train

KINDS = {"gated": {}, "next": {"value": "next"}, "joint": {"merge": "joint"}}


def trainer(steps: int, knn: dict[str, object] | None = None, **train: object) -> tuple[Trainer, Lanes]:
    """A trainer after some steps on documents of several lengths; those of six lanes end at different steps."""
    pools = tiny.POOLS["memorizing"].replace(knn=tiny.KNN.replace(**(knn or {})))
    config = TrainConfig(lanes=6, steps=100, warmup=0, device="cpu", **train)
    made = Trainer(tiny.model("memorizing", pools=pools).build(), config)
    lanes = Lanes(tiny.documents(), Bytes(), 6, 16, seed=0)
    for _ in range(steps):
        made.advance(next(lanes))
    return made, lanes


@pytest.mark.parametrize("kind", KINDS)
def test_read_again_with_the_same_weights_the_memory_is_the_same(kind: str) -> None:
    made, lanes = trainer(12, KINDS[kind], accumulate=2, lr=1e-12, weight_decay=0.0, drift_every=1000)
    assert len(made.histories[0].pieces) < 12, "only what is remembered is kept"
    for state, history in zip(made.states, made.histories, strict=True):
        again = history.read_again(made.model, "float32")
        assert torch.equal(again.position, state.position)
        assert (
            again.states[1]["knn"].store.valid(48).sum(1).tolist()
            == state.states[1]["knn"].store.valid(48).sum(1).tolist()
        )
        assert min(each.cosine for each in key_drift(state, again)) > 1 - 1e-5
    batch = next(lanes)
    for part, state, history in zip(batch.tokens.chunk(2), made.states, made.histories, strict=True):
        again = history.read_again(made.model, "float32")
        with torch.no_grad():
            found, expected = (made.model(part, each)[0].hidden for each in (again, state))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_a_second_memory_layer_is_read_again_with_what_is_kept() -> None:
    made, _ = trainer(9, {"layers": (0, 1)}, lr=1e-12, drift_every=1000)
    drift = key_drift(made.states[0], made.histories[0].read_again(made.model, "float32"))
    assert 0.9 < min(each.cosine for each in drift) <= 1 + 1e-6


def test_keys_drift_with_age_and_not_after_they_were_encoded_anew() -> None:
    made, lanes = trainer(9, lr=0.01, drift_every=1, reencode_every=10)
    record = made.advance(next(lanes))
    ages = {name: cosine for name, cosine in record.items() if name.startswith("key_cosine_")}
    assert list(ages) == ["key_cosine_1_to_1", "key_cosine_2_to_3"]  # the memory holds three segments
    assert 0.5 < ages["key_cosine_2_to_3"] < ages["key_cosine_1_to_1"] < 1
    assert min(ages.values()) < record["key_cosine"] < max(ages.values())
    again = made.histories[0].read_again(made.model, "float32")
    assert min(each.cosine for each in key_drift(made.states[0], again)) > 1 - 1e-5
    made.advance(next(lanes))
    again = made.histories[0].read_again(made.model, "float32")
    assert max(each.cosine for each in key_drift(made.states[0], again)) < 1 - 1e-5


def test_a_run_with_a_renewed_memory_resumes_to_the_same_losses_and_drifts(tmp_path: Path) -> None:
    config = tiny.run_config(steps=7, reencode_every=2, drift_every=3, schedule="constant")
    whole = read_records(train(config, tmp_path / "whole", tiny.corpus()))
    cut = train(config.replace(train__steps=4), tmp_path / "cut", tiny.corpus())
    records = read_records(resume(cut, tiny.corpus(), steps=7))
    names = [name for name in {**whole[-1], **whole[5]} if name not in ("seconds", "tokens_per_second")]
    assert any(name.startswith("key_cosine") for name in names)
    for mine, theirs in zip(records[4:], whole[4:], strict=True):
        assert {name: mine.get(name) for name in names} == {name: theirs.get(name) for name in names}
    plain = read_records(
        train(tiny.run_config(steps=7, drift_every=3, schedule="constant"), tmp_path / "plain", tiny.corpus())
    )
    assert plain[1]["loss"] == whole[1]["loss"]
    assert plain[-1]["loss"] != whole[-1]["loss"]


def test_without_a_memory_there_is_nothing_to_look_at() -> None:
    with pytest.raises(Problem, match="for models with a kNN memory"):
        Trainer(tiny.model("transformer-xl").build(), TrainConfig(drift_every=3, device="cpu"))


def test_states_that_read_different_tokens_are_refused() -> None:
    made, _ = trainer(3, drift_every=1)
    empty = made.model.init_state(6)
    assert key_drift(empty, empty) == []
    again = made.histories[0].read_again(made.model, "float32")
    again.states[1]["knn"].store.positions.add_(1)
    with pytest.raises(ValueError, match="not read the same tokens"):
        key_drift(made.states[0], again)
