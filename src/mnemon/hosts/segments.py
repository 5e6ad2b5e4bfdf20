"""A document as a host reads it: tokens with the characters they cover, cut into segments."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from mnemon.config import Problem
from mnemon.data.text import read_text


@dataclass(frozen=True)
class Text:
    """A text, its tokens, and the characters of the text that each covers."""

    text: str
    tokens: Int[Tensor, " n"]
    spans: Int[Tensor, "n 2"]


@dataclass(frozen=True)
class Segment:
    """Tokens to be fed at once: `ids`, of which those from `fresh` on are new; the first of them is token `start`."""

    ids: Int[Tensor, " n"]
    fresh: int
    start: int


def tokenized(text: str, tokenizer: PreTrainedTokenizerBase) -> Text:
    """The tokens of a text, without special ones."""
    if tokenizer.is_fast:
        coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        spans = torch.tensor(coded["offset_mapping"], dtype=torch.long).view(-1, 2)
        return Text(text, torch.tensor(coded["input_ids"], dtype=torch.long), spans)
    tokens = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return decoded(torch.tensor(tokens, dtype=torch.long), tokenizer)


def decoded(tokens: Int[Tensor, " n"], tokenizer: PreTrainedTokenizerBase | None) -> Text:
    """A text made of tokens; without a tokenizer, one that names them by number."""
    pieces = [f"{token} " for token in tokens.tolist()]
    if tokenizer is not None:
        pieces = [str(tokenizer.decode([token])) for token in tokens.tolist()]
    ends = torch.tensor([0, *map(len, pieces)]).cumsum(0)
    return Text("".join(pieces), tokens, torch.stack([ends[:-1], ends[1:]], dim=1))


def given(
    tokenizer: PreTrainedTokenizerBase | None,
    path: str | Path | None,
    text: str | None,
    input_ids: Int[Tensor, "*one n"] | None,
) -> tuple[str, Text]:
    """Where a document comes from, and its text: a file, a text, or tokens, one of which must be given."""
    if sum(each is not None for each in (path, text, input_ids)) != 1:
        raise Problem("give one of path, text and input_ids to read")
    if input_ids is not None:
        if input_ids.numel() != input_ids.shape[-1]:
            raise Problem(f"input_ids of shape {tuple(input_ids.shape)}: give the tokens of one document")
        return "tokens", decoded(input_ids.reshape(-1).cpu(), tokenizer)
    if tokenizer is None:
        raise Problem("reading text needs a tokenizer: attach(model, tokenizer), or give input_ids")
    if path is not None:
        text = read_text(Path(path), strict=True, skipped=Counter())
    assert text is not None
    return "text" if path is None else str(path), tokenized(text, tokenizer)


def prefix(tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    """The special tokens that the host expects before a text, such as one that begins every sequence."""
    if tokenizer is None:
        return []
    marked, bare = (list(tokenizer("a", add_special_tokens=said)["input_ids"]) for said in (True, False))
    return marked[: len(marked) - len(bare)] if bare and marked[-len(bare) :] == bare else []


def segments(tokens: Int[Tensor, " n"], length: int, overlap: int, before: Sequence[int] = ()) -> Iterator[Segment]:
    """Segments of at most `length` tokens; each after the first repeats `overlap` tokens of the one before.

    `before` goes before each of them, within its length.
    """
    room = length - len(before)
    if room <= overlap:
        raise Problem(f"a segment of {length} tokens has no room for {len(before)} special ones and {overlap} repeated")
    first = torch.tensor(before, dtype=torch.long)
    start = 0
    while start < len(tokens):
        context = tokens[max(start - overlap, 0) : start]
        fresh = tokens[start : start + room - len(context)]
        yield Segment(torch.cat([first, context, fresh]), len(first) + len(context), start)
        start += len(fresh)
