import math
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny
from mnemon.data import Batch, Lanes
from mnemon.data.byte_tokens import Bytes
from mnemon.model import AttentionConfig, MemoryState, SpanConfig, Transformer
from mnemon.train import TrainConfig, Trainer
from mnemon.train.trainer import Diverged


def lanes(rows: int = 4, segment: int = 16) -> Lanes:
    return Lanes(tiny.documents(), Bytes(), rows, segment, seed=0)


def trainer(kind: str = "memorizing", changes: dict[str, Any] | None = None, **settings: Any) -> Trainer:
    config = TrainConfig(**{"steps": 20, "lanes": 4, "warmup": 2, **settings})
    return Trainer(tiny.model(kind, **(changes or {})).build(), config)


def losses(training: Trainer, steps: int = 5) -> list[float]:
    stream = lanes()
    return [training.advance(next(stream))["loss"] for _ in range(steps)]


@pytest.mark.parametrize("kind", tiny.POOLS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_loss_falls(kind: str, precision: str) -> None:
    found = losses(trainer(kind, precision=precision, lr=1e-2), 20)
    assert found[-1] < found[0] - 1


def test_the_loss_is_the_mean_over_targets_of_nll() -> None:
    training = trainer()
    stream = lanes()
    batch = next(stream)
    with torch.no_grad():
        state = training.model.init_state(4)
        output, _ = training.model(batch.tokens, state, batch.lengths)
        nll = training.model.head.nll(output.hidden, batch.targets)
    wanted = (nll.sum() / (batch.targets >= 0).sum()).item()
    record = training.advance(batch)
    assert record["loss"] == pytest.approx(wanted, rel=1e-6)
    assert record["tokens"] == int((batch.targets >= 0).sum())


def test_lanes_follow_from_the_tokens_of_a_step() -> None:
    training = trainer(lanes=0, step_tokens=64)
    assert training.states[0].rows == training.config.lanes == 4
    assert losses(training, 2) == losses(trainer(), 2)


def test_a_record_says_how_the_step_went() -> None:
    training = trainer(lr=1e-2)
    stream = lanes()
    first, second = training.advance(next(stream)), training.advance(next(stream))
    assert list(first) == ["step", "loss", "lr", "tokens", "tokens_per_second", "seconds", "gradient_norm"]
    assert [first["step"], second["step"]] == [1, 2]
    assert [first["lr"], second["lr"]] == [0.5e-2, 1e-2]
    assert second["tokens"] > first["tokens"]
    assert second["seconds"] > first["seconds"] > 0


@pytest.mark.parametrize("kind", tiny.POOLS)
def test_micro_batches_give_what_one_batch_of_the_same_lanes_gives(kind: str) -> None:
    whole, halves, single = (losses(trainer(kind, accumulate=n, lr=1e-3), 8) for n in (1, 2, 4))
    assert halves == pytest.approx(whole, rel=1e-4)
    assert single == pytest.approx(whole, rel=1e-4)


def test_each_micro_batch_has_a_state_of_its_own_with_the_same_lanes() -> None:
    whole, halves = trainer(), trainer(accumulate=2)
    stream = lanes()
    for _ in range(6):
        batch = next(stream)
        whole.advance(batch)
        halves.advance(batch)
        assert torch.cat([state.position for state in halves.states]).equal(whole.states[0].position)
    assert [state.rows for state in halves.states] == [2, 2]


def test_a_step_commits_after_the_optimizer_and_resets_before_the_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def spy(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            done.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, called)

    training = trainer(accumulate=2)
    spy(MemoryState, "reset")
    spy(MemoryState, "commit")
    spy(Transformer, "forward")
    spy(Transformer, "project_")
    spy(Tensor, "backward")
    spy(type(training.engine), "clip")
    spy(type(training.optimizers[0]), "step")
    training.advance(next(lanes()))
    micro = ["reset", "forward", "backward"]
    assert done == [*micro, *micro, "clip", "step", "project_", "commit", "commit"]


def test_a_gradient_below_the_limit_is_not_touched() -> None:
    training = trainer()
    for p in training.model.parameters():
        p.grad = torch.full_like(p, 2.0)
    size = sum(p.numel() for p in training.model.parameters())
    norm = 2.0 * size**0.5
    assert training.engine.clip(1.01 * norm).item() == pytest.approx(norm)
    assert all(p.grad._version == 0 for p in training.model.parameters())
    assert training.engine.clip(norm / 2).item() == pytest.approx(norm)
    for p in training.model.parameters():
        torch.testing.assert_close(p.grad, torch.ones_like(p))


def test_the_span_penalty_is_minimised_and_is_no_part_of_the_loss() -> None:
    batch = next(lanes())
    found, ratios = [], []
    for penalty in (0.0, 10.0):
        span = SpanConfig(limit=32, ramp=4, penalty=penalty)
        training = trainer("all-attention", {"attention": AttentionConfig(qk_norm=False, span=span)})
        for block in training.model.blocks:
            block.attention.span.ratio.data.fill_(0.5)
        found.append(training.advance(batch)["loss"])
        ratios.append(training.model.blocks[0].attention.span.ratio.detach())
    assert found[0] == found[1]
    assert (ratios[1] < 0.5).all()
    assert (ratios[1] < ratios[0]).any()


def test_spans_are_brought_back_into_their_range() -> None:
    training = trainer("all-attention", lr=5.0, weight_decay=0.0)
    training.advance(next(lanes()))
    for block in training.model.blocks:
        assert ((block.attention.span.ratio >= 0) & (block.attention.span.ratio <= 1)).all()


def test_gradients_are_clipped_and_their_norm_is_reported_unclipped() -> None:
    records = []
    for clip in (None, 1e-3):
        training = trainer(clip=clip, optimizer="adamw", eps=1.0)
        before = [p.detach().clone() for p in training.model.parameters()]
        records.append(training.advance(next(lanes())))
        moved = sum((p.detach() - q).norm() for p, q in zip(training.model.parameters(), before, strict=True))
        records[-1]["moved"] = moved.item()
    free, clipped = records
    assert clipped["gradient_norm"] == free["gradient_norm"] > 1e-3
    assert clipped["moved"] < free["moved"] / 2


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change(value: float) -> None:
    training = trainer()
    stream = lanes()
    training.advance(next(stream))
    before = [p.detach().clone() for p in training.model.parameters()]
    hook = training.model.norm.register_forward_hook(lambda *_: torch.full((4, 16, 32), value))
    with pytest.raises(Diverged, match=r"step 2: the loss is (nan|inf)"):
        training.advance(next(stream))
    hook.remove()
    assert training.step == 1
    assert all(torch.equal(p, q) for p, q in zip(training.model.parameters(), before, strict=True))
    assert all(p.grad is None for p in training.model.parameters())


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change() -> None:
    training = trainer()
    before = [p.detach().clone() for p in training.model.parameters()]
    training.model.embedding.table.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(Diverged, match="step 1: the gradient norm is nan"):
        training.advance(next(lanes()))
    assert all(torch.equal(p, q) for p, q in zip(training.model.parameters(), before, strict=True))


def test_a_batch_without_any_target_changes_nothing_but_decay() -> None:
    training = trainer(weight_decay=0.0)
    batch = next(lanes())
    empty = Batch(**{**vars(batch), "targets": torch.full_like(batch.targets, -100)})
    assert training.advance(empty)["loss"] == 0.0


def test_a_trainer_continues_where_another_stood() -> None:
    stream = lanes()
    batches = [next(stream) for _ in range(6)]
    first, second = trainer(accumulate=2, optimizer="muon"), trainer(accumulate=2, optimizer="muon")
    for batch in batches[:3]:
        first.advance(batch)
    saved = {name: {key: t.clone() for key, t in group.items()} for name, group in first.tensors().items()}
    second.load(saved, first.values())
    assert [first.advance(b)["loss"] for b in batches[3:]] == [second.advance(b)["loss"] for b in batches[3:]]
    assert second.tokens == first.tokens
