import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW, Muon

import tiny
from mnemon.config import Problem
from mnemon.train import OPTIMIZERS, TrainConfig
from mnemon.train.flat import flatten, unflatten
from mnemon.train.optimizers import make_optimizers


def names_of(parameters: list[nn.Parameter], model: nn.Module) -> set[str]:
    known = {id(p): name for name, p in model.named_parameters()}
    return {known[id(p)] for p in parameters}


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("pools", tiny.POOLS)
def test_every_parameter_is_in_one_group_of_one_optimizer(kind: str, pools: str) -> None:
    model = tiny.model(pools).build()
    made = make_optimizers(model, TrainConfig(optimizer=kind))
    held = [p for optimizer in made for group in optimizer.param_groups for p in group["params"]]
    assert len(held) == len({id(p) for p in held})
    assert names_of(held, model) == {name for name, _ in model.named_parameters()}


def test_only_parameters_of_two_or_more_dimensions_decay() -> None:
    model = tiny.model().build()
    (optimizer,) = make_optimizers(model, TrainConfig(weight_decay=0.3))
    for group in optimizer.param_groups:
        assert {p.ndim >= 2 for p in group["params"]} == {group["weight_decay"] == 0.3}


def test_muon_takes_the_projections_inside_blocks_alone() -> None:
    model = tiny.model("memorizing-all-attention").build()
    first, second = make_optimizers(model, TrainConfig(optimizer="muon", muon_lr=0.5, lr=0.25))
    assert isinstance(first, Muon)
    assert isinstance(second, AdamW)
    held = names_of([p for group in first.param_groups for p in group["params"]], model)
    assert held == {f"blocks.{i}.attention.{name}.weight" for i in range(2) for name in ("q", "k", "v", "out")}
    assert [first.param_groups[0]["lr"], second.param_groups[0]["lr"]] == [0.5, 0.25]


def test_muon_takes_projections_of_a_host_too() -> None:
    host = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(3, 3, bias=False)]), "lm_head": nn.Linear(3, 5)})
    model = nn.ModuleDict({"host": nn.ModuleDict({"model": nn.ModuleList([nn.Embedding(5, 3)]), "decoder": host})})
    first, _ = make_optimizers(model, TrainConfig(optimizer="muon"))
    assert names_of(first.param_groups[0]["params"], model) == {"host.decoder.layers.0.weight"}


def test_muon_over_a_model_without_blocks_is_adamw() -> None:
    (optimizer,) = make_optimizers(nn.Linear(3, 2), TrainConfig(optimizer="muon"))
    assert isinstance(optimizer, AdamW)


def test_frozen_parameters_are_left_out() -> None:
    model = tiny.model().build()
    model.embedding.table.requires_grad_(False)
    for kind in OPTIMIZERS:
        made = make_optimizers(model, TrainConfig(optimizer=kind))
        held = [p for optimizer in made for group in optimizer.param_groups for p in group["params"]]
        assert "embedding.table" not in names_of(held, model)


def test_an_unknown_optimizer_names_the_nearest() -> None:
    with pytest.raises(Problem, match=r"optimizer 'adam'.*did you mean 'adamw'"):
        make_optimizers(nn.Linear(3, 2), TrainConfig(optimizer="adam"))


def test_adamw_without_decay_is_adam() -> None:
    models = [tiny.model().build() for _ in range(2)]
    (ours,) = make_optimizers(models[0], TrainConfig(weight_decay=0.0, lr=2.5e-4, betas=(0.9, 0.999)))
    theirs = Adam(models[1].parameters(), lr=2.5e-4, betas=(0.9, 0.999), eps=1e-8)
    for seed in range(3):
        for model in models:
            torch.manual_seed(seed)
            for p in model.parameters():
                p.grad = torch.randn_like(p)
        ours.step()
        theirs.step()
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_optimizer_state_goes_by_name_and_gives_the_same_next_step(kind: str) -> None:
    config = TrainConfig(optimizer=kind)
    models = [tiny.model().build() for _ in range(2)]
    made = [make_optimizers(model, config) for model in models]

    def step(index: int, seed: int) -> None:
        torch.manual_seed(seed)
        for p in models[index].parameters():
            p.grad = torch.randn_like(p)
        for optimizer in made[index]:
            optimizer.step()

    step(0, 1)
    names = {id(p): name for name, p in models[0].named_parameters()}
    saved = {name: t.clone() for name, t in flatten(made[0], names).items()}
    assert all(isinstance(t, torch.Tensor) and "/" in name for name, t in saved.items())
    models[1].load_state_dict(models[0].state_dict())
    unflatten(made[1], dict(models[1].named_parameters()), dict(reversed(saved.items())))
    for index in range(2):
        step(index, 2)
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(p, q)
