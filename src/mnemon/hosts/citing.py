"""Which remembered passages the tokens of a generated text came from."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mnemon.config import Problem
from mnemon.hosts.namespaces import Namespaces
from mnemon.hosts.reading import reading
from mnemon.hosts.seam import Seam, Seen, uncompiled
from mnemon.memory import DocumentStore


@dataclass(frozen=True)
class Citation:
    """A remembered token that a generated one drew on.

    It covers `text`, the characters `start` to `end` of its document. `weight` is its share of the output of one `head`
    of one `layer`: its weight in the softmax, times the gate where there is one.
    """

    document: str
    namespace: str
    source: str
    start: int
    end: int
    text: str
    layer: int
    head: int
    weight: float


@dataclass(frozen=True)
class Cited:
    """A generated token and what it drew on, heaviest first."""

    token: int
    text: str
    citations: tuple[Citation, ...]


@dataclass(frozen=True)
class Call:
    """A forward that began with an empty cache: its rows, and the state of what they could see."""

    ids: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"] | None
    using: tuple[str, ...]
    versions: tuple[int, ...]


class Calls:
    """Notes the last call of a host that began with an empty cache; a hook before its forward."""

    def __init__(self, source: Namespaces):
        self.source = source
        self.last: Call | None = None

    @uncompiled
    def __call__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        past = kwargs.get("past_key_values")
        if ids is None or self.source.keeps or (past is not None and int(past.get_seq_length()) > 0):
            return
        self.last = Call(ids, _tokens(kwargs.get("attention_mask"), ids), self.source.using, self.versions())

    def versions(self) -> tuple[int, ...]:
        """One number a namespace that changes with it."""
        return tuple(self.source.store(name).version for name in self.source.using)


def _tokens(mask: Any, ids: Int[Tensor, "b t"]) -> Bool[Tensor, "b t"] | None:
    """Which of `ids` are no padding; None for all. A static cache gets the masks of each type of layer beforehand."""
    if isinstance(mask, dict):
        mask = mask["full_attention"]
    if mask is None or mask.ndim == 2:
        return None if mask is None else mask.bool()
    last = mask[:, 0, -1, : ids.shape[1]]  # what the last token sees
    return (last if last.dtype == torch.bool else last == 0).expand(ids.shape)


class Citing:
    """Reads a generated text once more, token by given token, and notes what its layers draw from the memory."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, source: Namespaces):
        self.model, self.tokenizer, self.source, self.calls = model, tokenizer, source, Calls(source)

    def cite(self, sequences: Int[Tensor, "b n"], seams: Sequence[Seam], top: int) -> list[list[Cited]]:
        """For each row, each token that came after the prompt of the last call, and what it drew on."""
        call, order = self._made(sequences)
        if call.using != self.source.using or call.versions != self.calls.versions():
            raise Problem("citations: the memory, or which namespaces are used, has changed since the last call")
        mask = None if call.mask is None else call.mask[order]
        seen = self._drawn(sequences, mask, seams)
        stores, prompt = self.source.seen(len(sequences)), call.ids.shape[1]
        return [self._row(sequences[row], prompt, _of_row(seen, row), store, top) for row, store in enumerate(stores)]

    def said(self, sequences: Int[Tensor, "b n"]) -> list[tuple[str, Int[Tensor, " _"]]]:
        """Each row of the last call with the namespace that it used: prompt and answer, without padding."""
        call, order = self._made(sequences)
        found = []
        for row, at in enumerate(order.tolist()):
            ids, prompt = sequences[row], call.ids.shape[1]
            asked = ids[:prompt] if call.mask is None else ids[:prompt][call.mask[at]]
            found.append(
                (call.using[at * len(call.using) // len(call.ids)], torch.cat([asked, self._answer(ids, prompt)]))
            )
        return found

    def _made(self, sequences: Int[Tensor, "b n"]) -> tuple[Call, Int[Tensor, " b"]]:
        """The last call, and for each of the sequences that it made which of its rows it came from."""
        call = self.calls.last
        if call is None:
            raise Problem("this model has not been called yet")
        # Several sequences a prompt, or beams that were dropped.
        order = torch.arange(len(sequences)) * len(call.ids) // len(sequences)
        prompt = call.ids.shape[1]
        if prompt > sequences.shape[1] or not torch.equal(call.ids[order], sequences[:, :prompt]):
            raise Problem("these sequences are not what the last call made")
        return call, order

    def _answer(self, ids: Int[Tensor, " n"], prompt: int) -> Int[Tensor, " m"]:
        """What came after the prompt, up to the first token that ends a sequence."""
        ends = self.model.generation_config.eos_token_id if self.model.generation_config is not None else None
        stops = torch.isin(ids[prompt:], torch.tensor([] if ends is None else ends, device=ids.device).long())
        return ids[prompt:][: int(stops.int().argmax()) + 1] if bool(stops.any()) else ids[prompt:]

    def _drawn(self, ids: Tensor, mask: Tensor | None, seams: Sequence[Seam]) -> list[Seen]:
        """What all layers draw when the sequences are read with the memory in one forward."""
        inputs: dict[str, Tensor] = {"input_ids": ids}
        if mask is not None and not bool(mask.all()):
            mask = torch.cat([mask, mask.new_ones(len(ids), ids.shape[1] - mask.shape[1])], dim=1)
            inputs["attention_mask"] = mask.long()
            if "position_ids" in inspect.signature(self.model.forward).parameters:
                inputs["position_ids"] = (mask.long().cumsum(-1) - 1).clamp(min=0)
        for seam in seams:
            seam.trace = []
        try:
            with reading(self.model):
                self.model.base_model(**inputs, use_cache=False)
            return [seen for seam in seams for seen in seam.trace or ()]
        finally:
            for seam in seams:
                seam.trace = None

    def _row(
        self, ids: Tensor, prompt: int, drawn: Sequence[Seen], store: DocumentStore | None, top: int
    ) -> list[Cited]:
        cited = []
        for at, token in enumerate(self._answer(ids, prompt).tolist(), start=prompt):
            found = [] if store is None else [each for seen in drawn for each in _heaviest(seen, at - 1, store, top)]
            found.sort(key=lambda citation: -citation.weight)
            text = str(token) if self.tokenizer is None else str(self.tokenizer.decode([token]))
            cited.append(Cited(token, text, tuple(found[:top])))
        return cited


def _of_row(seen: Sequence[Seen], row: int) -> list[Seen]:
    """What one row drew: `rows` of length one."""
    found = []
    for each in seen:
        at = (each.rows == row).nonzero().flatten()
        found += [Seen(each.layer, each.rows[at], each.ids[at], each.share[at])] if len(at) else []
    return found


def _heaviest(seen: Seen, at: int, store: DocumentStore, top: int) -> list[Citation]:
    """The entries of largest share in the output at one place, over all heads."""
    share = seen.share[0, :, at]  # h k
    best = share.flatten().topk(min(top, share.numel()))
    found = []
    for weight, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        head, neighbour = divmod(place, share.shape[1])
        document, number = store.at(int(seen.ids[0, head, at, neighbour]))
        start, end = document.spans[number].tolist()
        where = (document.name, document.namespace, document.source, start, end, document.text[start:end])
        found += [Citation(*where, seen.layer, head, weight)] if weight > 0 else []
    return found
