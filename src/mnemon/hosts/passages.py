"""Citations as a person reads them: which passage each part of an answer came from."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from mnemon.hosts.citing import Citation, Cited
from mnemon.memory import Document

NEAR = 80  # characters between two places of one passage
WIDTH = 240  # characters shown of a passage
PART = 0.1  # of the heaviest citation of a passage: what draws less does not widen it
WEAK = 0.05  # of a head's output: what draws less on the memory than this came from elsewhere


@dataclass(frozen=True)
class Passage:
    """Part of an answer, and what it came from.

    `said` are tokens `first` to `last` (not included). They drew on characters `start` to `end` of `document`, which
    stand in lines `line` to `last_line`, counted from 1; `quote` is that with what stands around it. `weight`: the
    share of the passage in the output of the head that drew on it most, on average over the tokens.
    """

    said: str
    first: int
    last: int
    document: str
    namespace: str
    source: str
    start: int
    end: int
    line: int
    last_line: int
    quote: str
    weight: float


@dataclass(frozen=True)
class _Place:
    """Where a token draws most: characters of a document."""

    document: str
    start: int
    end: int
    weight: float

    def near(self, other: "_Place") -> bool:
        """Whether both are of one passage."""
        apart = max(self.start, other.start) - min(self.end, other.end)
        return self.document == other.document and apart <= NEAR


def passages(
    cited: Sequence[Cited],
    documents: Sequence[Document],
    namespace: str = "",
    tokenizer: PreTrainedTokenizerBase | None = None,
    weak: float = WEAK,
) -> list[Passage]:
    """Consecutive tokens that drew on the same passage, together.

    Tokens that drew on nothing much, and blank ones, are left out.
    """
    texts = {each.name: each for each in documents if each.namespace == namespace}
    groups: list[tuple[int, list[_Place]]] = []
    for at, token in enumerate(cited):
        place = _place(token.citations)
        if place is None or place.weight < weak:
            continue
        first, last = groups[-1] if groups else (0, [])
        if last and first + len(last) == at and last[-1].near(place):
            last.append(place)
        else:
            groups.append((at, [place]))
    made = (_passage(cited, first, found, texts[found[0].document], tokenizer) for first, found in groups)
    return [each for each in made if each.said.strip()]


def _place(citations: Sequence[Citation]) -> _Place | None:
    """The passage that one head drew on most: its citations within `NEAR` characters of each other, together."""
    by_head: dict[tuple[int, int, str], list[Citation]] = defaultdict(list)
    for each in citations:
        by_head[each.layer, each.head, each.document].append(each)
    best: _Place | None = None
    for (_, _, document), found in by_head.items():
        for group in _close(sorted(found, key=lambda each: each.start)):
            weight = sum(each.weight for each in group)
            if best is None or weight > best.weight:
                heavy = [each for each in group if each.weight >= PART * max(each.weight for each in group)]
                best = _Place(document, heavy[0].start, max(each.end for each in heavy), weight)
    return best


def _close(found: Sequence[Citation]) -> list[list[Citation]]:
    groups: list[list[Citation]] = []
    for each in found:
        if groups and each.start - groups[-1][-1].end <= NEAR:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def _passage(
    cited: Sequence[Cited],
    first: int,
    found: Sequence[_Place],
    document: Document,
    tokenizer: PreTrainedTokenizerBase | None,
) -> Passage:
    tokens = cited[first : first + len(found)]
    said = "".join(each.text for each in tokens)
    if tokenizer is not None:
        said = str(tokenizer.decode([each.token for each in tokens]))
    start, end = min(each.start for each in found), max(each.end for each in found)
    text = document.text
    return Passage(
        said=said,
        first=first,
        last=first + len(found),
        document=document.name,
        namespace=document.namespace,
        source=document.source,
        start=start,
        end=end,
        line=text.count("\n", 0, start) + 1,
        last_line=text.count("\n", 0, max(start, end - 1)) + 1,
        quote=_quoted(text, start, end),
        weight=sum(each.weight for each in found) / len(found),
    )


def _quoted(text: str, start: int, end: int) -> str:
    """The characters on one line, with the words around them that stand in the same lines."""
    room = max(WIDTH - (end - start), 0) // 2
    begin = max(text.rfind("\n", 0, start) + 1, start - room)
    line_end = text.find("\n", end)
    stop = min(len(text) if line_end < 0 else line_end, end + room)
    before, after = text[begin:start], text[end:stop]
    if begin > 0 and text[begin - 1] != "\n":
        before = "… " + before.partition(" ")[2]
    if stop < len(text) and text[stop] != "\n":
        after = after.rpartition(" ")[0] + " …"
    drawn = text[start:end]
    if len(drawn) > 2 * WIDTH:
        drawn = f"{drawn[:WIDTH]} … {drawn[-WIDTH:]}"
    return " ".join((before + drawn + after).split())
