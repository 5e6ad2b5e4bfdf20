import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mnemon.config import Problem

# Lines; a long one is cut behind a word. Put together, the pieces are the text again.
PIECE = re.compile(r"[^\n]{1,160}(?!\S)\n?|[^\n]{1,160}\n?|\n")
TAKEN = 4096  # characters of a document that are cut into pieces at once


@dataclass(frozen=True)
class Piece:
    """A line of real text and how many tokens it is."""

    text: str
    tokens: int


class Haystack:
    """Real text to hide things in: lines of documents, each beginning at a random line, the longer the likelier.

    `count` says how many tokens a text is.
    """

    def __init__(self, texts: Sequence[str], count: Callable[[str], int]) -> None:
        self.texts = [text for text in texts if text.strip()]
        if not self.texts:
            raise Problem("the haystack has no text; name a source whose documents have some")
        self.count = count
        self.ends = np.cumsum([len(text) for text in self.texts])

    def draw(self, rng: np.random.Generator, tokens: int) -> list[Piece]:
        """Lines that stand together in their document, `tokens` long to within the last line."""
        found: list[Piece] = []
        left = tokens
        while left > 0:
            for piece in self._from_somewhere(rng):
                found.append(Piece(piece, self.count(piece)))
                left -= found[-1].tokens
                if left <= 0:
                    break
        return found

    def _from_somewhere(self, rng: np.random.Generator) -> list[str]:
        character = int(rng.integers(self.ends[-1]))
        index = int(np.searchsorted(self.ends, character, side="right"))
        text = self.texts[index]
        at = text.rfind("\n", 0, character - int(self.ends[index]) + len(text)) + 1
        return PIECE.findall(text[at : at + TAKEN])


def woven(pieces: Sequence[Piece], hidden: Sequence[tuple[int, str]]) -> tuple[str, list[tuple[int, int]]]:
    """The pieces as one text with each sentence of `hidden` as a line of its own: before the piece in which its token
    offset lies. Also where each sentence then stands, as characters of the text.
    """
    ends = np.cumsum([0, *(piece.tokens for piece in pieces)])
    before: list[list[int]] = [[] for _ in range(len(pieces) + 1)]
    for index in sorted(range(len(hidden)), key=lambda index: hidden[index][0]):
        before[min(int(np.searchsorted(ends, hidden[index][0])), len(pieces))].append(index)
    text = ""
    spans = [(0, 0)] * len(hidden)
    for place, sentences in enumerate(before):
        for index in sentences:
            text += "" if text.endswith("\n") or not text else "\n"
            spans[index] = (len(text), len(text) + len(hidden[index][1]))
            text += hidden[index][1] + "\n"
        text += pieces[place].text if place < len(pieces) else ""
    return text, spans
