"""The six of RULER's thirteen tasks that need no download (arXiv 2404.06654, appendix A), at the length of an episode.

The other seven hide their needles in essays, or ask questions of SQuAD and HotpotQA.
Deviation: words, noise and phrases are ours, and words are invented; the lists of common words shrink with the length.
Scoring is RULER's: the share of the expected texts that are found in the continuation.
"""

import itertools
import math
from collections.abc import Callable, Sequence

from mnemon.evaluate.episode import Episode, Evidence, Question, Told, Writer
from mnemon.evaluate.haystack import Piece, woven

NOISE = "Rain falls on the hill. The wind turns to the west. Clouds come and go. Evening is near, and night follows.\n"
DIGITS = 7
HOPS = 4
COMMON = 10  # words that cwe asks for
CODED = 3  # words that fwe asks for
ZIPF = 2.0
Shown = tuple[Told, list[Evidence]]


def niah_single_1(write: Writer) -> Episode:
    """One number among repeated noise."""
    word, number = write.invent.name(), write.invent.number(DIGITS)
    told, (evidence,) = _among_noise(write, [_needle("number", word, number)])
    return Episode((told,), (_about("number", word, number, evidence),))


def niah_multikey_2(write: Writer) -> Episode:
    """The whole text is needles: words with a number each, one of which is asked for."""
    return _needles_alone(write, "number", write.invent.name, lambda: write.invent.number(DIGITS))


def niah_multikey_3(write: Writer) -> Episode:
    """The same with a random identifier for each word, and for each number."""
    return _needles_alone(write, "identifier", write.invent.uuid, write.invent.uuid)


def vt(write: Writer) -> Episode:
    """Variable tracking: a value is handed on from variable to variable; all that hold it are asked for."""
    names = [write.invent.name().upper() for _ in range(HOPS + 1)]
    value = write.invent.number()
    said = [f"VAR {names[0]} = {value}"]
    said += [f"VAR {later} = VAR {earlier}" for earlier, later in itertools.pairwise(names)]
    told, evidence = _among_noise(write, said, in_order=True)
    prompt = f"\nThe variables that are assigned the value {value} in the text, all {len(names)} of them:"
    return Episode((told,), (Question(prompt, tuple(names), exact=False, evidence=tuple(evidence)),))


def cwe(write: Writer) -> Episode:
    """Common words: ten words come ten times as often as all others; the ten are asked for.

    The paper lists them thirty times, the others three times; here as often as the length allows, at most that.
    """
    common = [write.invent.name() for _ in range(COMMON)]
    often = max(2, min(30, _room(write, common) // 2))
    seldom = max(1, often // 10)
    words = common * often
    left = write.tokens - write.haystack.count(" ".join(words))
    while left > 0:
        word = write.invent.name()
        words += [word] * seldom
        left -= seldom * write.haystack.count(f" {word}")
    return _list_of(write, words, f"\nThe {COMMON} most common words of the list:", common)


def fwe(write: Writer) -> Episode:
    """Frequent words: the word of rank k comes in proportion to k to the power of -2; the first three are asked for.

    As in the paper the most frequent of all is a mark, dots, and does not count.
    """
    coded = [write.invent.name() for _ in range(50)]
    seldom = (math.pi**2 / 6 - 1) * write.haystack.count(f" {coded[0]}")  # tokens of words for each mark
    often = max(CODED**2 * 2, write.tokens / (write.haystack.count(" ...") + seldom))
    words = [word for rank, word in enumerate(["...", *coded], 1) for _ in range(math.floor(often * rank**-ZIPF))]
    return _list_of(write, words, f"\nThe {CODED} most frequent coded words of the text:", coded[:CODED])


def _needle(what: str, key: str, value: str) -> str:
    return f"The special {what} of {key} is {value}."


def _about(what: str, key: str, value: str, evidence: Evidence) -> Question:
    return Question(f"\nThe special {what} of {key} is", (value,), exact=False, evidence=(evidence,))


def _needles_alone(write: Writer, what: str, key: Callable[[], str], value: Callable[[], str]) -> Episode:
    pairs: list[tuple[str, str]] = []
    left = write.tokens
    while left > 0 or not pairs:
        pairs.append((key(), value()))
        left -= write.haystack.count(_needle(what, *pairs[-1]) + "\n")
    text, spans = woven([], [(at, _needle(what, *pair)) for at, pair in enumerate(pairs)])
    asked = write.choose(len(pairs))
    question = _about(what, *pairs[asked], Evidence("document", *spans[asked]))
    return Episode((Told("document", text),), (question,))


def _among_noise(write: Writer, sentences: Sequence[str], in_order: bool = False) -> Shown:
    """A document of noise with the sentences at random depths, in their order if that matters."""
    piece = Piece(NOISE, write.haystack.count(NOISE))
    room = write.tokens - sum(map(write.haystack.count, sentences))
    depths = write.rng.integers(0, max(room, 1), len(sentences)).tolist()
    placed = zip(sorted(depths) if in_order else depths, sentences, strict=True)
    text, spans = woven([piece] * math.ceil(room / piece.tokens), list(placed))
    return Told("document", text), [Evidence("document", *span) for span in spans]


def _room(write: Writer, words: Sequence[str]) -> int:
    """How often all these words fit into the length."""
    return write.tokens // write.haystack.count(" " + " ".join(words))


def _list_of(write: Writer, words: Sequence[str], prompt: str, asked: Sequence[str]) -> Episode:
    order = write.rng.permutation(len(words))
    text = " ".join(words[at] for at in order) + "\n"
    return Episode((Told("document", text),), (Question(prompt, tuple(asked), exact=False),))


RULER: dict[str, Callable[[Writer], Episode]] = {
    "niah_single_1": niah_single_1,
    "niah_multikey_2": niah_multikey_2,
    "niah_multikey_3": niah_multikey_3,
    "vt": vt,
    "cwe": cwe,
    "fwe": fwe,
}
