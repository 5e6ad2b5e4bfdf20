"""A question put to a host, the answer as it is written, and the passages that the answer came from."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.generation.streamers import BaseStreamer

from mnemon.config import Problem, nearest
from mnemon.hosts.citing import Cited
from mnemon.hosts.memory import Memory
from mnemon.hosts.reading import reading

Hear = Callable[[str], None]
TOP = 64  # citations of a token that passages are made of


@dataclass(frozen=True)
class Answer:
    """What a host said: its text, its tokens, and, where it was asked for, what each of them drew on."""

    text: str
    tokens: tuple[int, ...]
    cited: tuple[Cited, ...] = ()


def drawing(
    model: PreTrainedModel, max_tokens: int, temperature: float, top_k: int | None, top_p: float | None
) -> GenerationConfig:
    """How a host is to draw its tokens, likeliest first at `temperature` 0; what its own settings say of ends stays."""
    config = copy.deepcopy(model.generation_config) or GenerationConfig()
    config.max_new_tokens, config.max_length = max_tokens, None
    config.do_sample = temperature > 0
    config.temperature, config.top_p = (temperature, top_p or 1.0) if temperature > 0 else (None, None)
    config.top_k = (top_k or 0) if temperature > 0 else None
    if config.pad_token_id is None:
        ends = config.eos_token_id
        config.pad_token_id = ends[0] if isinstance(ends, list) else ends
    return config


def ask(
    memory: Memory,
    question: str,
    config: GenerationConfig,
    namespace: str = "",
    seed: int = 0,
    chat: bool = True,
    cite: bool = False,
    hear: Hear | None = None,
) -> Answer:
    """Put a question to a host that remembers; `hear` is told each piece of the answer as it is written.

    Where the tokenizer has a chat template the question is a user's turn, unless `chat` is off. `namespace`: whose
    documents are seen. `cite`: also find what each token of the answer drew on, see `Memory.citations`.
    """
    tokenizer, known = memory.tokenizer, {each.namespace for each in memory.documents}
    if tokenizer is None:
        raise Problem("asking needs a tokenizer: attach(model, tokenizer)")
    if namespace and namespace not in known:
        raise Problem(f"namespace {namespace!r}: nothing is remembered there{nearest(namespace, sorted(known))}")
    ids = prompt(tokenizer, question, chat).to(memory.model.device)
    streamer: Any = None if hear is None else _Pieces(tokenizer, ids.shape[1], hear)
    model: Any = memory.model
    with memory.using(namespace), reading(model), _seeded(seed):
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config, streamer=streamer
        )
        cited = memory.citations(out, TOP)[0] if cite and len(memory) else ()
    said = out[0, ids.shape[1] :]
    return Answer(_text(tokenizer, said), tuple(said.tolist()), tuple(cited))


def prompt(tokenizer: PreTrainedTokenizerBase, question: str, chat: bool = True) -> Tensor:
    """The tokens of a question, as the host expects one."""
    if chat and tokenizer.chat_template:
        turns = [{"role": "user", "content": question}]
        made: Any = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)
        ids = made["input_ids"]
    else:
        ids = tokenizer(question, verbose=False)["input_ids"]
    if not ids:
        raise Problem("the question is empty: give some words")
    return torch.tensor([ids])


class _Pieces(BaseStreamer):
    """Tells text as tokens come: as much of it as no later token changes."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: int, hear: Hear):
        self.tokenizer, self.left, self.hear = tokenizer, prompt, hear
        self.tokens: list[int] = []
        self.told = 0

    def put(self, value: Tensor) -> None:
        """New tokens; those of the prompt come first."""
        fresh = value.flatten().tolist()
        skipped = min(self.left, len(fresh))
        self.left -= skipped
        self.tokens += fresh[skipped:]
        text = _text(self.tokenizer, self.tokens)
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # the rest of a character is still to come
            self._tell(text)

    def end(self) -> None:
        """No more come."""
        self._tell(_text(self.tokenizer, self.tokens))

    def _tell(self, text: str) -> None:
        if len(text) > self.told:
            self.hear(text[self.told :])
            self.told = len(text)


def _text(tokenizer: PreTrainedTokenizerBase, tokens: list[int] | Tensor) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=True))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The random state that `generate` draws from, which takes no generator, is the caller's again afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
