"""`generate` of transformers on models of ours: whatever way of decoding, the text is that of full forward passes."""

import itertools

import pytest
import torch
from torch import Tensor

from hub_models import KINDS, REMEMBERING, causal, forced
from mnemon.hub import MnemonForCausalLM
from models import VOCABULARY, text

NEW = 6  # crosses a segment boundary
every_kind = pytest.mark.parametrize("name", [name for name in KINDS if name not in ("faithful", "next values")])
few_kinds = pytest.mark.parametrize("name", ["vanilla", "all-attention", "joint memory"])


def written(model: MnemonForCausalLM, tokens: Tensor, **settings: object) -> Tensor:
    """What `generate` adds to the text."""
    found = model.generate(tokens, **{"max_new_tokens": NEW, "do_sample": False, **settings})
    assert isinstance(found, Tensor)
    return found[:, tokens.shape[1] :]


def greedy(model: MnemonForCausalLM, tokens: Tensor) -> Tensor:
    """The same by our own model alone, which reads the text anew for each token."""
    whole = tokens
    for _ in range(NEW):
        whole = torch.cat([whole, forced(model, whole)[:, -1:].argmax(-1)], dim=1)
    return whole[:, tokens.shape[1] :]


def left_padded(rows: list[Tensor], pad: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of different lengths side by side, and which of their columns are real."""
    width = max(len(row) for row in rows)
    gaps = [width - len(row) for row in rows]
    tokens = torch.stack(
        [torch.nn.functional.pad(row, (gap, 0), value=pad) for row, gap in zip(rows, gaps, strict=True)]
    )
    return tokens, torch.stack([(torch.arange(width) >= gap).long() for gap in gaps])


@every_kind
def test_greedy_text_is_that_of_full_forward_passes(name: str) -> None:
    model, tokens = causal(name), text(2, 9)
    expected = greedy(model, tokens)
    assert torch.equal(written(model, tokens), expected)
    assert torch.equal(written(model, tokens, use_cache=False), expected)
    assert torch.equal(written(model, tokens[:1], max_new_tokens=1), expected[:1, :1])


@every_kind
def test_scores_are_the_logits_of_one_full_forward(name: str) -> None:
    model, tokens = causal(name), text(2, 9)
    found = model.generate(
        tokens,
        max_new_tokens=NEW,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
        output_scores=True,
    )
    expected = forced(model, found.sequences)[:, 8:-1].float()
    torch.testing.assert_close(torch.stack(found.logits, dim=1), expected)
    torch.testing.assert_close(torch.stack(found.scores, dim=1), expected)
    torch.testing.assert_close(model(found.sequences).logits[:, 8:-1].float(), expected)


@every_kind
def test_beams_write_what_they_write_without_a_cache(name: str) -> None:
    model, tokens = causal(name), text(2, 7)
    settings = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 5}
    found = written(model, tokens, **settings)
    assert torch.equal(found, written(model, tokens, use_cache=False, **settings))
    assert len({tuple(row) for row in found[:3].tolist()}) == 3


@pytest.mark.parametrize("name", ["transformer-xl", "memorizing"])
def test_a_beam_that_is_wide_enough_finds_the_likeliest_text(name: str) -> None:
    model, tokens = causal(name), text(1, 6)
    found = written(model, tokens, num_beams=VOCABULARY, max_new_tokens=2)
    every = torch.tensor(list(itertools.product(range(VOCABULARY), repeat=2)))
    logits = forced(model, torch.cat([tokens.expand(len(every), -1), every], dim=1))[:, 5:-1].float()
    likelihood = logits.log_softmax(-1).gather(2, every[:, :, None]).sum((1, 2))
    assert torch.equal(found[0], every[likelihood.argmax()])


@every_kind
def test_a_padded_row_is_the_row_alone(name: str) -> None:
    model = causal(name)
    rows = [text(1, length, seed=length)[0] for length in (12, 4, 1)]
    tokens, mask = left_padded(rows)
    found = written(model, tokens, attention_mask=mask)
    logits = model(tokens, attention_mask=mask).logits
    for row, alone in enumerate(rows):
        assert torch.equal(found[row], written(model, alone[None])[0])
        torch.testing.assert_close(logits[row, -len(alone) :], model(alone[None]).logits[0])


@few_kinds
def test_beams_of_padded_rows_are_those_of_the_rows_alone(name: str) -> None:
    model = causal(name)
    rows = [text(1, length, seed=length)[0] for length in (6, 11)]
    tokens, mask = left_padded(rows)
    found = written(model, tokens, attention_mask=mask, num_beams=2, max_new_tokens=5)
    for row, alone in enumerate(rows):
        assert torch.equal(found[row], written(model, alone[None], num_beams=2, max_new_tokens=5)[0])


@pytest.mark.parametrize("name", ["vanilla", "memorizing"])
def test_padding_on_the_right_is_not_read_either(name: str) -> None:
    model = causal(name)
    rows = [text(1, length, seed=length)[0] for length in (9, 4)]
    tokens, mask = (each.flip(1) for each in left_padded([row.flip(0) for row in rows]))
    found = written(model, tokens, attention_mask=mask)
    for row, alone in enumerate(rows):
        assert torch.equal(found[row], written(model, alone[None])[0])


@few_kinds
def test_a_static_cache_and_reading_in_chunks_change_nothing(name: str) -> None:
    model, tokens = causal(name), text(2, 11)
    expected = written(model, tokens)
    assert torch.equal(written(model, tokens, cache_implementation="static"), expected)
    assert torch.equal(written(model, tokens, prefill_chunk_size=4), expected)


@few_kinds
def test_assisted_text_is_the_greedy_text(name: str) -> None:
    model, tokens = causal(name), text(1, 12)
    expected = written(model, tokens, max_new_tokens=8)
    assert torch.equal(written(model, tokens, max_new_tokens=8, prompt_lookup_num_tokens=3), expected)
    assistant = causal("transformer-xl", seed=1)
    assistant.generation_config.num_assistant_tokens = 3
    assert torch.equal(written(model, tokens, max_new_tokens=8, assistant_model=assistant), expected)


@pytest.mark.parametrize("name", ["memorizing"])
def test_samples_follow_the_seed_and_the_limits(name: str) -> None:
    model, tokens = causal(name), text(1, 7).expand(40, -1)

    def drawn(seed: int, **settings: object) -> Tensor:
        torch.manual_seed(seed)
        return written(model, tokens, do_sample=True, max_new_tokens=3, **settings)

    with torch.random.fork_rng():
        assert torch.equal(drawn(0), drawn(0))
        assert not torch.equal(drawn(0), drawn(1))
        few, nucleus = drawn(2, top_k=2), drawn(3, top_k=0, top_p=0.4)
    for step in range(3):
        for found, most in ((few, None), (nucleus, 0.4)):
            p = forced(model, torch.cat([tokens, found[:, :step]], dim=1))[:, -1].softmax(-1)
            above = p.masked_fill(p <= p.gather(1, found[:, step, None]), 0.0)
            assert bool(((above > 0).sum(1) < 2).all() if most is None else (above.sum(1) < most).all())
    assert torch.equal(drawn(4, top_k=1)[:1], written(model, tokens[:1], max_new_tokens=3))


@pytest.mark.parametrize("name", ["memorizing"])
def test_several_texts_of_one_prompt_are_drawn_side_by_side(name: str) -> None:
    model, tokens = causal(name), text(2, 7)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = model.generate(
            tokens,
            do_sample=True,
            num_return_sequences=3,
            max_new_tokens=NEW,
            return_dict_in_generate=True,
            output_logits=True,
        )
    assert len({tuple(row) for row in found.sequences.tolist()}) == 6
    expected = forced(model, found.sequences)[:, 6:-1].float()
    torch.testing.assert_close(torch.stack(found.logits, dim=1), expected)


@few_kinds
def test_a_row_that_has_ended_is_padded_and_leaves_the_others_alone(name: str) -> None:
    model, tokens = causal(name), text(3, 9)
    free = written(model, tokens)
    for pad in (0, VOCABULARY):  # an id of the vocabulary, and one beyond it
        model.config.pad_token_id = pad
        end = int(free[1, 2])
        found = written(model, tokens, eos_token_id=end, pad_token_id=pad, attention_mask=torch.ones_like(tokens))
        for row in range(3):
            wanted = free[row].tolist()
            stop = wanted.index(end) + 1 if end in wanted else NEW
            assert found[row].tolist() == (wanted[:stop] + [pad] * NEW)[: found.shape[1]]


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_longer_text_goes_on_from_the_cache_of_its_beginning(name: str) -> None:
    model, tokens = causal(name), text(2, 17)
    first = model(tokens[:, :8], use_cache=True)
    found = model(tokens[:, 8:], past_key_values=first.past_key_values, use_cache=True)
    torch.testing.assert_close(found.logits, model(tokens).logits[:, 8:])
    assert found.past_key_values.get_seq_length() == 17
    assert torch.equal(
        written(model, tokens, past_key_values=model(tokens[:, :8], use_cache=True).past_key_values),
        written(model, tokens),
    )
