from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mnemon.evaluate.haystack import Haystack, woven
from mnemon.evaluate.inventions import Inventor


@dataclass(frozen=True)
class Told:
    """A document that the memory of a namespace reads."""

    name: str
    text: str = field(repr=False)
    namespace: str = ""


@dataclass(frozen=True)
class Evidence:
    """Characters of a document in which an answer stands."""

    document: str
    first: int
    last: int


@dataclass(frozen=True)
class Question:
    """A text to be continued by a row that uses `namespace`, and what its continuation is worth.

    `exact`: it must begin with the only answer, which ends in a full stop; else the share of the answers that are found
    in it counts, as in RULER. Where there is no answer, only `never` matters: texts that may not be in it.
    `forget`: documents that are forgotten before it is asked. `evidence`: where the answer stands; `cited`: a wrong
    citation makes the answer wrong.
    """

    prompt: str
    answers: tuple[str, ...]
    namespace: str = ""
    exact: bool = True
    never: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    cited: bool = False

    def score(self, continuation: str) -> float:
        """Between 0 and 1, of the text that a model wrote behind the prompt."""
        if any(secret in continuation for secret in self.never):
            return 0.0
        if not self.answers:
            return 1.0
        if self.exact:
            return float(continuation.startswith(self.answers[0]))
        return sum(answer in continuation for answer in self.answers) / len(self.answers)

    def proves(self, document: str, first: int, last: int) -> bool:
        """Whether characters `first` to `last` of a document lie in the evidence."""
        return any(each.document == document and each.first <= first < last <= each.last for each in self.evidence)


@dataclass(frozen=True)
class Episode:
    """Documents, read in this order into empty memories, and questions, asked in this order."""

    told: tuple[Told, ...]
    questions: tuple[Question, ...]


class Writer:
    """What a task writes its documents with: real text of `tokens` tokens in all, and inventions.

    `window`: tokens that a model sees without a memory. `evaluation`: which side its names and numbers come from.
    """

    def __init__(
        self, rng: np.random.Generator, haystack: Haystack, tokens: int, window: int, evaluation: bool = True
    ) -> None:
        self.rng, self.haystack, self.tokens, self.window = rng, haystack, tokens, window
        self.invent = Inventor(rng, evaluation)

    def told(
        self, name: str, sentences: Sequence[str], share: float = 1.0, namespace: str = "", after: int = 0
    ) -> tuple[Told, list[Evidence]]:
        """A document of this share of the tokens with each sentence at a random depth, and where they stand in it.

        None stands among the first `after` tokens.
        """
        n = round(self.tokens * share)
        pieces = self.haystack.draw(self.rng, n - sum(map(self.haystack.count, sentences)))
        depths = self.rng.integers(min(after, n - 1), n, len(sentences)).tolist()
        text, spans = woven(pieces, list(zip(depths, sentences, strict=True)))
        return Told(name, text, namespace), [Evidence(name, *span) for span in spans]

    def choose(self, n: int) -> int:
        """One of 0..n-1."""
        return int(self.rng.integers(n))
