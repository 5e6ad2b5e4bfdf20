from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM

from hub_models import KINDS, causal, forced
from mnemon.config import Problem
from mnemon.hub import MnemonConfig, MnemonForCausalLM, MnemonModel
from mnemon.model import Transformer
from models import small, text


def own_loss(model: Transformer, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """What our own trainer minimises: segment by segment, committed after backward; gradients add up."""
    state, total, count = model.init_state(len(tokens)), torch.tensor(0.0), int((targets >= 0).sum())
    pieces = zip(tokens.split(model.config.segment, 1), targets.split(model.config.segment, 1), strict=True)
    for at, (piece, wanted) in enumerate(pieces):
        output, update = model(piece, state)
        nll = model.head.nll(output.hidden, wanted).sum() / count
        (nll + output.penalty if at == 0 else nll).backward()
        state.commit(update)
        total = total + nll.detach() + (output.penalty.detach() if at == 0 else 0.0)
    return total


@pytest.mark.parametrize(
    ("name", "checkpointing"), [*((name, False) for name in KINDS), ("memorizing", True), ("joint memory", True)]
)
def test_loss_and_gradients_are_those_of_our_own_training(name: str, checkpointing: bool) -> None:
    model, tokens = causal(name).train(), text(2, 17)
    if checkpointing:
        model.activation_checkpointing_enable()
        assert model.is_gradient_checkpointing
    found = model(tokens, labels=tokens)
    found.loss.backward()
    assert found.past_key_values is None
    gradients = {name: p.grad.clone() for name, p in model.model.transformer.named_parameters() if p.grad is not None}
    model.zero_grad()
    own = model.model.transformer
    own.config = own.config.replace(checkpointing=False)
    targets = torch.nn.functional.pad(tokens[:, 1:], (0, 1), value=-1)
    torch.testing.assert_close(found.loss, own_loss(own, tokens, targets))
    for parameter, p in own.named_parameters():
        assert (p.grad is None) == (parameter not in gradients), parameter
        if p.grad is not None:
            torch.testing.assert_close(gradients[parameter], p.grad, msg=lambda m, n=parameter: f"{n}: {m}")


def test_checkpointing_can_be_turned_off() -> None:
    model = causal("memorizing")
    model.activation_checkpointing_enable()
    model.activation_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_labels_of_padding_and_first_tokens_do_not_count() -> None:
    model = causal("memorizing")
    tokens, mask = text(2, 9), torch.ones(2, 9)
    mask[1, :4] = 0
    labels = tokens.masked_fill(mask == 0, -100)
    found = model(tokens, attention_mask=mask, labels=labels).loss
    alone = [model(tokens[:1], labels=tokens[:1]).loss, model(tokens[1:, 4:], labels=tokens[1:, 4:]).loss]
    torch.testing.assert_close(found, (8 * alone[0] + 4 * alone[1]) / 12)
    labels[:, 5:] = -100
    assert model(tokens[1:], attention_mask=mask[1:], labels=labels[1:]).loss == 0.0


@pytest.mark.parametrize("name", ["all-attention", "joint memory"])
def test_gradients_of_a_padded_batch_are_those_of_its_rows(name: str) -> None:
    model = causal(name).train()
    tokens, mask = text(2, 14), torch.ones(2, 14)
    mask[1, :6] = 0
    model(tokens, attention_mask=mask, labels=tokens.masked_fill(mask == 0, -100)).loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for row in (tokens[:1], tokens[1:, 6:]):
        model(row, labels=row, num_items_in_batch=20).loss.backward()
    for parameter, p in model.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(found[parameter], p.grad, msg=lambda m, n=parameter: f"{n}: {m}")


def test_a_batch_that_is_part_of_a_step_has_its_share_of_the_loss() -> None:
    model, tokens = causal("all-attention").train(), text(2, 9)
    whole = model(tokens, labels=tokens).loss
    parts = [model(row[None], labels=row[None], num_items_in_batch=torch.tensor(16)).loss for row in tokens]
    torch.testing.assert_close(sum(parts), whole)
    penalty = model.model.transformer(tokens[:, :5], model.model.transformer.init_state(2))[0].penalty
    assert penalty > 0
    torch.testing.assert_close(model.eval()(tokens, labels=tokens).loss, whole - penalty)


def test_logits_are_kept_as_asked() -> None:
    model, tokens = causal("memorizing"), text(2, 9)
    whole = forced(model, tokens)
    torch.testing.assert_close(model(tokens).logits, whole)
    torch.testing.assert_close(model(tokens, logits_to_keep=3).logits, whole[:, -3:])
    torch.testing.assert_close(model(tokens, logits_to_keep=torch.tensor([1, 8])).logits, whole[:, [1, 8]])
    kept = model(tokens, labels=tokens, logits_to_keep=1)
    torch.testing.assert_close(kept.logits, whole[:, -1:])
    torch.testing.assert_close(kept.loss, model(tokens, labels=tokens).loss)


def test_hidden_states_are_those_between_the_layers() -> None:
    model, tokens = causal("memorizing"), text(2, 9)
    mask = torch.ones(2, 9)
    mask[1, :4] = 0
    found = model(tokens, attention_mask=mask, output_hidden_states=True).hidden_states
    assert len(found) == 3
    torch.testing.assert_close(found[0][0], model.get_input_embeddings()(tokens[:1])[0])
    alone = model(tokens[1:, 4:], output_hidden_states=True).hidden_states
    for together, single in zip(found, alone, strict=True):
        torch.testing.assert_close(together[1:, 4:], single)
    torch.testing.assert_close(
        model.model.transformer.head.logits(found[-1]), model(tokens, attention_mask=mask).logits
    )
    assert model(tokens).hidden_states is None
    assert isinstance(model(tokens, return_dict=False), tuple)


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, torch.float32) for name in KINDS), ("memorizing-all-attention", torch.bfloat16)]
)
def test_a_saved_model_comes_back_bit_for_bit(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model, tokens = causal(name, dtype), text(2, 12)
    model.save_pretrained(tmp_path)
    found = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(found, MnemonForCausalLM)
    assert found.dtype == dtype
    assert found.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(found(tokens).logits, model(tokens).logits)
    body = AutoModel.from_pretrained(tmp_path)
    assert isinstance(body, MnemonModel)
    assert torch.equal(body(tokens).last_hidden_state, model.model(tokens).last_hidden_state)


def test_a_model_is_loaded_in_another_type(tmp_path: Path) -> None:
    model, tokens = causal("memorizing", torch.float32), text(2, 12)
    model.save_pretrained(tmp_path)
    found = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert torch.equal(found(tokens).logits, model.to(torch.bfloat16)(tokens).logits)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model = causal("memorizing", torch.float32)
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.transformer.blocks.1.attention.gate"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(Problem, match=r"the weights are of another model: Attention\.gate is missing"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


def test_a_model_begun_from_its_config_starts_as_ours_do() -> None:
    config = MnemonConfig.of(small())
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = AutoModelForCausalLM.from_config(config)
    own = small().build(seed=5)
    assert all(torch.equal(p, q) for p, q in zip(made.parameters(), own.parameters(), strict=True))


def test_a_wrapped_model_is_the_model_itself() -> None:
    own = small().build().train()
    made = MnemonForCausalLM.of(own)
    assert made.model.transformer is own
    assert made.training
    assert not list(made.buffers())


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"inputs_embeds": torch.zeros(1, 2, 12)}, "inputs_embeds: a mnemon model reads tokens"),
        ({}, "input_ids: missing"),
        ({"input_ids": text(1, 3), "output_attentions": True}, "output_attentions: attention over pools"),
        ({"input_ids": text(1, 3), "position_ids": torch.arange(3)[None]}, "position_ids: a mnemon model counts"),
        ({"input_ids": text(1, 3), "attention_mask": torch.ones(1, 2)}, r"attention_mask \[1, 2\]: for input_ids"),
        ({"input_ids": text(1, 3), "attention_mask": torch.ones(1, 1, 3, 3)}, "must be one number a token"),
        ({"input_ids": torch.tensor([[1, 13]])}, "token 13: the vocabulary of this model ends at 12"),
        ({"input_ids": torch.tensor([[1, -1]])}, "token -1: the vocabulary"),
    ],
)
def test_what_cannot_be_read_is_a_problem_in_one_line(inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(Problem, match=said):
        causal("memorizing")(**inputs)


def test_embeddings_of_prompts_and_other_vocabularies_are_refused() -> None:
    model = causal("vanilla")
    with pytest.raises(Problem, match="inputs_embeds"):
        model.generate(inputs_embeds=torch.zeros(1, 2, 12, dtype=torch.float64), max_new_tokens=1)
    with pytest.raises(Problem, match="the vocabulary of a mnemon model is fixed"):
        model.resize_token_embeddings(20)
    assert model.get_output_embeddings() is None


def test_a_batch_of_padding_alone_is_read_and_changes_nothing() -> None:
    model, tokens = causal("memorizing"), text(2, 6)
    cache = model(tokens, use_cache=True).past_key_values
    before = cache.state.position.clone()
    mask = torch.tensor([[1] * 6 + [0] * 2] * 2)
    assert model(tokens[:, :2], attention_mask=mask, past_key_values=cache, use_cache=True).logits.shape == (2, 2, 13)
    assert torch.equal(cache.state.position, before)
    torch.testing.assert_close(
        model(tokens[:, :3], past_key_values=cache, use_cache=True).logits,
        model(torch.cat([tokens, tokens[:, :3]], dim=1)).logits[:, 6:],
    )
