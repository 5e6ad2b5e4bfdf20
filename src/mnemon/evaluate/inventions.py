import hashlib
from collections.abc import Callable

import numpy as np

FIRST = list("bdfgklmnprstvz")
VOWELS = list("aeiou")
LAST = ["", "n", "r", "l", "s", "k", "m"]
HELD_OUT = 64  # of the 256 values of a digest's first byte


def held_out(word: str) -> bool:
    """Whether a name or number is kept for evaluation: a hash decides, so that training can never have seen it."""
    return hashlib.blake2b(word.lower().encode(), digest_size=1).digest()[0] < HELD_OUT


class Inventor:
    """Names and numbers that nobody has heard of, no two alike, either all for evaluation or all for training.

    There are 118 million names of two or three syllables; a quarter of them, and of the numbers, is for evaluation.
    """

    def __init__(self, rng: np.random.Generator, evaluation: bool) -> None:
        self.rng, self.evaluation = rng, evaluation
        self.used: set[str] = set()

    def name(self) -> str:
        """Such as `velkor`."""
        return self._fresh(lambda: "".join(self._syllable() for _ in range(self.rng.integers(2, 4))))

    def place(self) -> str:
        """A name with a capital."""
        return self.name().capitalize()

    def number(self, digits: int = 5) -> str:
        """Decimal digits, of which the first may be 0."""
        return self._fresh(lambda: "".join(map(str, self.rng.integers(0, 10, digits))))

    def uuid(self) -> str:
        """Thirty-two hexadecimal digits in the usual groups."""
        return self._fresh(lambda: "-".join(self._hexadecimal(digits) for digits in (8, 4, 4, 4, 12)))

    def _hexadecimal(self, digits: int) -> str:
        return "".join(f"{digit:x}" for digit in self.rng.integers(0, 16, digits))

    def _syllable(self) -> str:
        return "".join(part[self.rng.integers(len(part))] for part in (FIRST, VOWELS, LAST))

    def _fresh(self, invent: Callable[[], str]) -> str:
        while True:
            word = invent()
            if word not in self.used and held_out(word) == self.evaluation:
                self.used.add(word)
                return word
