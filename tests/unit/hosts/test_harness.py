"""lm-eval's harness, through its own API, on a model that a memory is attached to."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval import evaluate, simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

import mnemon
from readers import byte_tokenizer, llama

COLOURS = {"ferry": "green", "pier": "grey", "tower": "white", "market": "red", "bridge": "black"}
CHOICE = """
task: colours
dataset_path: json
dataset_kwargs: {{data_files: {data}, cache_dir: {cache}}}
test_split: train
output_type: multiple_choice
doc_to_text: "The {{{{thing}}}} is"
doc_to_choice: [green, grey, white, red, black]
doc_to_target: colour
metric_list: [{{metric: acc}}]
"""
WRITTEN = """
task: written
dataset_path: json
dataset_kwargs: {{data_files: {data}, cache_dir: {cache}}}
test_split: train
output_type: generate_until
doc_to_text: "The {{{{thing}}}} is"
doc_to_target: colour
generation_kwargs: {{until: ["."], max_gen_toks: 6, do_sample: false}}
metric_list: [{{metric: exact_match}}]
"""


TASKS = {"colours": CHOICE, "written": WRITTEN}


@pytest.fixture
def tasks(tmp_path: Path) -> TaskManager:
    """Two tasks over a local file."""
    lines = (json.dumps({"thing": thing, "colour": colour}) for thing, colour in COLOURS.items())
    data = tmp_path / "colours.jsonl"
    data.write_text("\n".join(lines))
    for name, text in TASKS.items():
        (tmp_path / f"{name}.yaml").write_text(text.format(data=data, cache=tmp_path / "cache"))
    return TaskManager(include_path=str(tmp_path), include_defaults=False)


def harness(model: torch.nn.Module) -> HFLM:
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = tokenizer.pad_token  # the harness stops at one
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2, device="cpu", max_length=64)


def heard(found: dict[str, Any] | None) -> list[Any]:
    """What the harness heard for each question of both tasks."""
    assert found is not None
    return [each["resps"] for name in TASKS for each in found["samples"][name]]


def scored(model: torch.nn.Module, tasks: TaskManager) -> list[Any]:
    """The part of `simple_evaluate` that evaluates; the rest looks at the machine, which takes its time."""
    return heard(evaluate(harness(model), tasks.load(list(TASKS)), bootstrap_iters=0))


@pytest.mark.filterwarnings("ignore")
def test_the_harness_scores_an_attached_model_with_what_it_remembers(tasks: TaskManager) -> None:
    model = llama(dtype=torch.float32)
    plain = scored(model, tasks)
    memory = mnemon.attach(model, byte_tokenizer())
    assert scored(model, tasks) == plain, "an empty memory changes no score"
    memory.read(text=" ".join(f"The {thing} is {colour}." for thing, colour in COLOURS.items()), document="facts")
    found = simple_evaluate(harness(model), tasks=list(TASKS), task_manager=tasks, bootstrap_iters=0)
    assert all(a != b for a, b in zip(heard(found)[:5], plain[:5], strict=True))
    memory.forget("facts")
    assert scored(model, tasks) == plain
