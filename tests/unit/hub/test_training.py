from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, DataCollatorForLanguageModeling, Trainer, TrainingArguments

import tiny
from mnemon.config import Problem
from mnemon.data.byte_tokens import Bytes
from mnemon.hub import MnemonForCausalLM, Projection, export, fast_tokenizer

TEXTS = [document.text[:90] for document in tiny.documents() if len(document.text) > 1]


def trained(folder: Path, model: torch.nn.Module, **settings: Any) -> Trainer:
    """A few steps of transformers' own training on texts of different lengths."""
    tokenizer = fast_tokenizer(Bytes())
    tokenizer.padding_side = "right"  # then every token that counts is predicted
    arguments = TrainingArguments(
        str(folder),
        **{
            "max_steps": 5,
            "per_device_train_batch_size": 3,
            "per_device_eval_batch_size": 4,
            "learning_rate": 0.01,
            "logging_steps": 1,
            "report_to": "none",
            "save_strategy": "no",
            "use_cpu": True,
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
            **settings,
        },
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=[tokenizer(text) for text in TEXTS],
        eval_dataset=[tokenizer(text) for text in TEXTS[:4]],
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        callbacks=[Projection()],
    )
    trainer.train()
    return trainer


def losses(trainer: Trainer) -> list[float]:
    return [record["loss"] for record in trainer.state.log_history if "loss" in record]


@pytest.mark.parametrize("kind", ["all-attention", "memorizing"])
def test_a_model_learns_under_trainer(kind: str, tmp_path: Path) -> None:
    found = losses(trained(tmp_path, MnemonForCausalLM.of(tiny.model(kind).build(seed=1))))
    assert found[-1] < found[0] - 0.4


def test_trainer_may_have_layers_computed_again(tmp_path: Path) -> None:
    plain, again = (MnemonForCausalLM.of(tiny.model("memorizing").build(seed=1)) for _ in range(2))
    expected = losses(trained(tmp_path, plain, max_steps=2))
    found = losses(trained(tmp_path, again, max_steps=2, activation_checkpointing=True))
    assert again.is_gradient_checkpointing
    assert found == pytest.approx(expected, rel=1e-4)


def test_parts_of_a_step_give_the_loss_of_the_whole(tmp_path: Path) -> None:
    found = []
    for settings in (
        {"per_device_train_batch_size": 4},
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
    ):
        model = MnemonForCausalLM.of(tiny.model("all-attention").build(seed=1))
        found.append(losses(trained(tmp_path, model, max_steps=2, **settings)))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_spans_stay_in_their_range(tmp_path: Path) -> None:
    model = MnemonForCausalLM.of(tiny.model("all-attention").build(seed=1))
    trained(tmp_path, model, max_steps=2, learning_rate=5.0)
    for block in model.model.transformer.layers:
        assert 0 <= block.attention.span.ratio.min() <= block.attention.span.ratio.max() <= 1


def test_spans_that_nothing_returns_to_their_range_are_a_problem() -> None:
    model = MnemonForCausalLM.of(tiny.model("all-attention").build(seed=1).train())
    tokens = torch.zeros(1, 4, dtype=torch.long)
    model.model.transformer.layers[1].attention.span.ratio.data[0] = -0.01
    with pytest.raises(Problem, match=r"adaptive spans have left their range: train with Trainer\(callbacks"):
        model(tokens, labels=tokens)
    model.eval()(tokens)


def test_a_checkpoint_of_trainer_continues_and_loads(tmp_path: Path) -> None:
    model = MnemonForCausalLM.of(tiny.model("memorizing").build(seed=1))
    trainer = trained(tmp_path, model, max_steps=2, save_strategy="steps", save_steps=2)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint-2")
    ids = fast_tokenizer(Bytes())(TEXTS[0], return_tensors="pt")["input_ids"]
    assert torch.equal(loaded(ids).logits, model.eval()(ids).logits)
    batch = fast_tokenizer(Bytes())(TEXTS[:4], return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(loaded(**batch, labels=labels).loss.item(), rel=1e-4)


def test_only_some_layers_cannot_be_computed_again() -> None:
    with pytest.raises(Problem, match="every_n_layers 2"):
        MnemonForCausalLM.of(tiny.model().build()).activation_checkpointing_enable(every_n_layers=2)


def test_an_adapter_learns_and_the_model_stays(tmp_path: Path) -> None:
    export(tiny.model("memorizing-all-attention").build(seed=1), Bytes(), tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    before = {name: parameter.clone() for name, parameter in base.named_parameters()}
    adapted = get_peft_model(base, LoraConfig(r=4, target_modules=["q", "v"], task_type="CAUSAL_LM"))
    found = losses(trained(tmp_path, adapted, activation_checkpointing=True))
    assert found[-1] < found[0]
    ids = fast_tokenizer(Bytes())(TEXTS[0], return_tensors="pt")["input_ids"]
    logits = adapted.eval()(input_ids=ids).logits
    adapted.save_pretrained(tmp_path / "adapter")
    fresh = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert all(torch.equal(parameter, before[name]) for name, parameter in fresh.named_parameters())
    again = PeftModel.from_pretrained(fresh, tmp_path / "adapter").eval()
    torch.testing.assert_close(again(input_ids=ids).logits, logits)
    assert not torch.allclose(logits, AutoModelForCausalLM.from_pretrained(tmp_path / "base")(ids).logits)
    written = again.generate(input_ids=ids, max_new_tokens=4, do_sample=False)
    merged = again.merge_and_unload()
    assert torch.equal(merged.generate(ids, max_new_tokens=4, do_sample=False), written)
