import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Library

from mnemon.config import Problem, read_json
from mnemon.data.document import Document
from mnemon.data.order import shuffled
from mnemon.data.tokenizer import Ids, Spans, Tokenizer

START = "<start>"
STARTS = (START, "<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "[BOS]", "<|endoftext|>", "[CLS]")
SAMPLE = 8 * 2**20
PIECE = 2**16
PIECES = 64
# No word of the byte-level pattern reaches from a character into white space behind it, so a cut there changes nothing.
CUT = re.compile(r"\S(?=[ \n])")


class Subwords(Tokenizer):
    """A tokenizer of the `tokenizers` library: byte-level BPE of our own, or any that a user brings.

    Its `tokenizer.json` is the library's own format, so other programs read it too. `start` is the first special token
    it holds of a list of usual names. A special token's name inside a text is text, never the special token.
    """

    def __init__(self, library: Library) -> None:
        library.no_truncation()
        library.no_padding()
        library.encode_special_tokens = True
        self.library = library
        self.vocab_size = max(library.get_vocab(with_added_tokens=True).values()) + 1
        special = {token.content: i for i, token in library.get_added_tokens_decoder().items() if token.special}
        self.start = next((special[name] for name in STARTS if name in special), None)
        held = self.values()
        words = held["pre_tokenizer"] or {}
        plain = words.get("type") == "ByteLevel" and words["use_regex"] and not words["add_prefix_space"]
        self._divisible = plain and held["normalizer"] is None

    def encode(self, text: str) -> Ids:
        parts = [np.array(part.ids, np.int32) for _, part in self._encoded(text, with_offsets=False)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def decode(self, ids: Ids | list[int]) -> str:
        text: str = self.library.decode([int(i) for i in ids], skip_special_tokens=True)
        return text

    def spans(self, text: str) -> Spans:
        parts = [np.array(part.offsets, np.int64).reshape(-1, 2) + at for at, part in self._encoded(text, True)]
        return np.concatenate(parts) if parts else np.zeros((0, 2), np.int64)

    def values(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.library.to_str())
        return values

    def _encoded(self, text: str, with_offsets: bool) -> Iterator[tuple[int, Encoding]]:
        """First character and encoding of each piece; a few at a time, for encodings are a hundred times their text."""
        run = self.library.encode_batch if with_offsets else self.library.encode_batch_fast
        pieces = list(_pieces(text)) if self._divisible else [text]
        at = 0
        for first in range(0, len(pieces), PIECES):
            batch = pieces[first : first + PIECES]
            for piece, encoding in zip(batch, run(batch, add_special_tokens=False), strict=True):
                yield at, encoding
                at += len(piece)


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces of about 64 KB that are encoded side by side."""
    at = 0
    while at < len(text):
        cut = CUT.search(text, at + PIECE)
        end = cut.end() if cut else len(text)
        yield text[at:end]
        at = end


def train_bpe(documents: Sequence[Document], vocab_size: int) -> Subwords:
    """Byte-level BPE of `vocab_size` tokens, the 256 bytes and a start token among them.

    Trained on at most 8 MB of the documents: the first megabyte of each (more where they are fewer than eight), in the
    order of a hash of their names, so that the same documents give the same merges anywhere.
    """
    if vocab_size < 257:
        raise Problem(f"vocab_size {vocab_size}: bpe needs at least 257 tokens (256 bytes and a start token)")
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    library.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[START], initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(_sample(documents), trainer)
    return Subwords(library)


def _sample(documents: Sequence[Document]) -> Iterator[str]:
    left = SAMPLE
    most = max(SAMPLE // 8, SAMPLE // max(len(documents), 1))
    for document in shuffled(documents, "bpe", key=lambda document: document.id):
        part = document.text[: min(left, most)]
        left -= len(part)
        yield part


def read_supplied(path: Path | str) -> Subwords:
    """The tokenizer of a `tokenizer.json` of the `tokenizers` library, a user's own or one that we saved."""
    values = read_json(Path(path))
    try:
        return Subwords(Library.from_str(json.dumps(values)))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise Problem(f"{path}: not a tokenizer of the tokenizers library ({error})") from None
