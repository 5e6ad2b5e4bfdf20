import copy

import pytest
import torch
from transformers import DynamicCache

import tiny
from hub_models import REMEMBERING, causal
from mnemon.config import Problem
from mnemon.data.byte_tokens import Bytes
from mnemon.generate import Sampling, generate
from mnemon.hub import MnemonCache, MnemonForCausalLM
from mnemon.model import Transformer
from models import read, same, text

DOCUMENTS = [("first", tiny.text(3, 2)[:70]), ("second", tiny.text(5, 1)[:21])]
PROMPT = tiny.text(3, 1)[:23]


def remembering(kind: str = "memorizing") -> Transformer:
    made = tiny.model(kind).build(seed=3).double()
    for block in made.blocks:
        if block.attention.gate is not None:
            block.attention.gate.data.fill_(0.5)
    return made.eval()


def ids(written: str) -> torch.Tensor:
    return torch.tensor([[Bytes.start, *Bytes().encode(written).tolist()]])


@pytest.mark.parametrize("kind", ["memorizing", "memorizing-joint"])
def test_text_written_with_a_memory_is_that_of_our_own_generation(kind: str) -> None:
    own = remembering(kind)
    model = MnemonForCausalLM.of(own)
    cache = None
    for _, document in DOCUMENTS:
        cache = model.read(ids(document), past_key_values=cache)
    assert cache is not None
    assert cache.get_seq_length() == 0
    settings = {"max_new_tokens": 14, "do_sample": False, "suppress_tokens": [Bytes.start]}
    found = model.generate(ids(PROMPT), past_key_values=copy.deepcopy(cache), **settings)
    wanted = generate(own, Bytes(), PROMPT, DOCUMENTS, Sampling(max_tokens=14, temperature=0.0)).tokens
    assert tuple(found[0, len(ids(PROMPT)[0]) :].tolist()) == wanted
    assert not torch.equal(found, model.generate(ids(PROMPT), **settings))
    beams = {**settings, "num_beams": 3, "max_new_tokens": 5}
    assert torch.equal(
        model.generate(ids(PROMPT), past_key_values=copy.deepcopy(cache), **beams),
        model.generate(ids(PROMPT), past_key_values=cache, use_cache=False, **beams),
    )
    assert cache.get_seq_length() == 0


def test_a_copy_of_a_cache_is_its_own() -> None:
    model = causal("memorizing")
    cache = model.read(text(1, 12))
    twin = copy.deepcopy(cache)
    before = {name: tensor.clone() for name, tensor in cache.state.tensors().items()}
    model.read(text(1, 9, seed=1), past_key_values=twin)
    assert same(cache.state.tensors(), before)
    assert not same(twin.state.tensors(), before)
    assert twin.state.pools is cache.state.pools


def test_each_row_reads_its_own_document() -> None:
    model = causal("memorizing")
    documents, prompts = [text(1, 13), text(1, 6, seed=1)], text(2, 4, seed=2)
    padded = torch.nn.functional.pad(documents[1], (7, 0))
    mask = torch.stack([torch.ones(13), (torch.arange(13) >= 7).float()])
    together = model.read(torch.cat([documents[0], padded]), attention_mask=mask)
    found = model(prompts, past_key_values=together, use_cache=False).logits
    for row in range(2):
        alone = model(prompts[row, None], past_key_values=model.read(documents[row]), use_cache=False).logits
        torch.testing.assert_close(found[row], alone[0])


def test_one_memory_serves_a_batch_of_any_number_of_rows() -> None:
    model, prompts = causal("memorizing"), text(3, 4, seed=2)
    cache = model.read(text(1, 13))
    expected = torch.cat([model(row[None], past_key_values=cache, use_cache=False).logits for row in prompts])
    torch.testing.assert_close(model(prompts, past_key_values=cache, use_cache=True).logits, expected)
    with pytest.raises(Problem, match="a cache of 3 rows cannot go on with a batch of 2"):
        model(prompts[:2], past_key_values=cache)


def test_a_memory_may_be_of_another_size_or_none() -> None:
    model, prompt = causal("memorizing"), text(1, 4, seed=2)
    plain = model(prompt).logits
    torch.testing.assert_close(
        model(prompt, past_key_values=model.read(text(1, 13), past_key_values=MnemonCache(0))).logits, plain
    )
    small = model(prompt, past_key_values=model.read(text(1, 13), past_key_values=MnemonCache(3))).logits
    assert not torch.allclose(small, model(prompt, past_key_values=model.read(text(1, 13))).logits)


def test_what_was_written_is_remembered_with_the_next_text() -> None:
    model, first, second = causal("memorizing"), text(1, 9), text(1, 6, seed=1)
    cache = model(first, use_cache=True).past_key_values
    cache.begin()
    found = model(second, past_key_values=cache, use_cache=True).logits
    torch.testing.assert_close(found, model(second, past_key_values=model.read(first)).logits)


@pytest.mark.parametrize("name", [*REMEMBERING, "vanilla", "all-attention"])
@pytest.mark.parametrize("back", [1, 7])
def test_what_is_taken_back_was_never_read(name: str, back: int) -> None:
    model, tokens = causal(name), text(2, 12)
    own = model.model.transformer
    mask = torch.ones(2, 12)
    mask[1, :2] = 0
    cache = MnemonCache()
    cache.activate_past_recording()
    model(tokens[:, :4], attention_mask=mask[:, :4], past_key_values=cache, use_cache=True)
    cache.crop(0)
    model(tokens[:, 4:9], attention_mask=mask[:, :9], past_key_values=cache, use_cache=True)
    model(tokens[:, 9:], attention_mask=mask, past_key_values=cache, use_cache=True)
    cache.crop(-back)
    assert cache.get_seq_length() == 12 - back
    after = text(2, 6, seed=1)
    found = model(after, past_key_values=cache, use_cache=True).logits
    for row, start in ((0, 0), (1, 2)):
        whole = torch.cat([tokens[row, start : 12 - back], after[row]])[None]
        hidden = read(own, own.init_state(1), whole)[:, -6:]
        torch.testing.assert_close(found[row], own.head.logits(hidden)[0])


def test_only_what_was_recorded_can_be_taken_back() -> None:
    model, tokens = causal("memorizing"), text(1, 6)
    cache = model(tokens, use_cache=True).past_key_values
    with pytest.raises(Problem, match=r"crop\(-2\): what is forgotten cannot come back"):
        cache.crop(-2)
    assert not cache.is_croppable
    cache.activate_past_recording()
    assert cache.is_croppable
    assert cache.is_recording_past(0)
    model(tokens, past_key_values=cache, use_cache=True)
    with pytest.raises(Problem, match="with a negative number"):
        cache.crop(2)
    with pytest.raises(Problem, match=r"crop\(-7\)"):
        cache.crop(-7)


def test_rows_are_chosen_and_repeated() -> None:
    model, tokens, after = causal("memorizing"), text(3, 8), text(4, 3, seed=1)
    cache = MnemonCache()
    cache.batch_repeat_interleave(2)  # nothing to repeat yet
    assert cache.batch_size == -1
    model(tokens, past_key_values=cache, use_cache=True)
    cache.batch_select_indices(torch.tensor([2, 0]))
    cache.batch_repeat_interleave(2)
    assert cache.batch_size == 4
    found = model(after, past_key_values=cache, use_cache=True).logits
    whole = torch.cat([tokens[[2, 2, 0, 0]], after], dim=1)
    torch.testing.assert_close(found, model(whole).logits[:, 8:])


def test_a_cache_says_what_transformers_asks_it() -> None:
    cache = MnemonCache()
    assert not cache.is_initialized
    assert not cache.is_compileable
    assert cache.get_max_length() == -1
    model = causal("transformer-xl")
    model(text(2, 6), past_key_values=cache, use_cache=True)
    assert cache.is_initialized
    assert cache.get_mask_sizes(3) == (9, 0)
    cache.reset()
    assert cache.get_seq_length() == 0
    torch.testing.assert_close(model(text(3, 4), past_key_values=cache).logits, model(text(3, 4)).logits)
    with pytest.raises(Problem, match="other models cannot write to it"):
        cache.update(torch.zeros(1), torch.zeros(1), 0)


def test_other_caches_and_models_without_memory_are_problems() -> None:
    model = causal("transformer-xl")
    with pytest.raises(Problem, match="reads a MnemonCache, not a DynamicCache"):
        model.generate(text(1, 4), past_key_values=DynamicCache(), max_new_tokens=2)
    with pytest.raises(Problem, match="cache_implementation 'quantized'"):
        model.generate(text(1, 4), cache_implementation="quantized", max_new_tokens=2)
    with pytest.raises(Problem, match="no kNN memory, so it cannot remember a document"):
        model.read(text(1, 4))
