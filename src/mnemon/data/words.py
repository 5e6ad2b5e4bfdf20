import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

from mnemon.config import Problem
from mnemon.data.document import Document
from mnemon.data.tokenizer import FORMAT, VERSION, Ids, Spans, Tokenizer

EOS = "<eos>"
UNKNOWN = "<unk>"
PIECE = 1 << 20
WORD = re.compile(r"\n|\S+")


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that end with a line: all the words of a large text at once would fill the memory."""
    at = 0
    while at < len(text):
        end = text.find("\n", at + PIECE) + 1 or len(text)
        yield text[at:end]
        at = end


class Words(Tokenizer):
    """What white space separates, `<eos>` for each line end, `<unk>` for a word that training never saw.

    The vocabulary is sorted by training frequency, as the clusters of an adaptive softmax need it, words of the same
    frequency by spelling. An `<unk>` written in the text is that token. No start id: the first word of a document is
    context only. All-attention networks, arXiv 1907.01470.
    """

    start = None

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)
        self._ids = {word: i for i, word in enumerate(self._words)}
        if len(self._ids) != len(self._words) or not {EOS, UNKNOWN} <= self._ids.keys():
            raise Problem(f"a vocabulary of words holds each word once, {EOS} and {UNKNOWN} among them")
        self.vocab_size, self.eos = len(self._words), self._ids[EOS]

    @classmethod
    def of(cls, documents: Sequence[Document], vocab_size: int | None = None) -> Self:
        """The most frequent `vocab_size` words of the training documents (None: all of them)."""
        counts: Counter[str] = Counter()
        for document in documents:
            for piece in _pieces(document.text):
                counts.update(piece.split())
            counts[EOS] += document.text.count("\n")
        counts[UNKNOWN] += 0
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        if vocab_size is not None and vocab_size < len(ranked):
            others = [word for word in ranked if word not in (EOS, UNKNOWN)][: max(vocab_size - 2, 0)]
            kept = {EOS, UNKNOWN, *others}
            # What is cut off counts as unknown, which moves <unk> to its place in the order.
            counts[UNKNOWN] += sum(counts[word] for word in ranked if word not in kept)
            ranked = sorted(kept, key=lambda word: (-counts[word], word))
        return cls(ranked)

    @classmethod
    def read(cls, values: dict[str, Any]) -> Self:
        """The tokenizer that `tokenizer.json` holds."""
        return cls([str(word) for word in values["words"]])

    def encode(self, text: str) -> Ids:
        unknown, end = self._ids[UNKNOWN], self._ids[EOS]
        pieces = (
            np.array([end if word == "\n" else self._ids.get(word, unknown) for word in WORD.findall(piece)], np.int32)
            for piece in _pieces(text)
        )
        return np.concatenate([*pieces, np.zeros(0, np.int32)])

    def decode(self, ids: Ids | list[int]) -> str:
        lines: list[list[str]] = [[]]
        for word in (self._words[int(i)] for i in ids):
            if word == EOS:
                lines.append([])
            else:
                lines[-1].append(word)
        return "\n".join(" ".join(line) for line in lines)

    def spans(self, text: str) -> Spans:
        return np.array([match.span() for match in WORD.finditer(text)], np.int64).reshape(-1, 2)

    def values(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, "kind": "words", "words": self._words}
