import torch

from mnemon.hosts import Citation, Cited, passages
from mnemon.memory import Document

TEXT = "Minutes of March.\nThe pump has two valves. The red valve opens first.\nNobody else spoke.\n"
NONE = torch.empty(0, dtype=torch.long)
DOCUMENTS = [
    Document(name, namespace, f"{name}.txt", text, "", NONE, NONE.view(0, 2), NONE, {}, {})
    for name, namespace, text in (("minutes", "", TEXT), ("minutes", "bob", "other"), ("long", "", "word " * 400))
]


def citation(words: str, weight: float, head: int = 0, document: str = "minutes") -> Citation:
    """Of the words as they stand in the text."""
    start = DOCUMENTS[0 if document == "minutes" else 2].text.index(words)
    return Citation(document, "", f"{document}.txt", start, start + len(words), words, 1, head, weight)


def cited(*each: tuple[str, list[Citation]]) -> list[Cited]:
    return [Cited(number, text, tuple(found)) for number, (text, found) in enumerate(each)]


def test_neighbouring_tokens_of_one_passage_are_told_together() -> None:
    found = passages(
        cited(
            ("The", [citation("The red", 0.01)]),  # too weak
            (
                " red",
                [
                    citation("red", 0.3),
                    citation("valve", 0.2),
                    citation("Minutes", 0.01),
                    citation("Nobody", 0.4, head=1),
                ],
            ),
            (" valve", [citation("valve", 0.6)]),
            (" in", []),
            (" \n", [citation("Minutes", 0.9)]),  # blank
            (" word", [citation("word", 0.5, document="long")]),
        ),
        DOCUMENTS,
    )
    assert [(each.said, each.first, each.last, each.document) for each in found] == [
        (" red valve", 1, 3, "minutes"),
        (" word", 5, 6, "long"),
    ]
    first = found[0]
    assert (first.line, first.last_line, first.source) == (2, 2, "minutes.txt")
    assert TEXT[first.start : first.end].startswith("valve")
    assert TEXT[first.start : first.end].endswith("red")
    assert first.quote == "The pump has two valves. The red valve opens first."
    assert abs(first.weight - (0.51 + 0.6) / 2) < 1e-9


def test_a_passage_that_spans_lines_says_so() -> None:
    (found,) = passages(cited(("x", [citation("March.\nThe pump", 0.5)])), DOCUMENTS)
    assert (found.line, found.last_line) == (1, 2)
    assert found.quote == "Minutes of March. The pump has two valves. The red valve opens first."


def test_long_lines_are_cut_at_words() -> None:
    place = Citation("long", "", "", 1000, 1004, "word", 1, 0, 0.5)
    (found,) = passages(cited(("x", [place])), DOCUMENTS)
    assert found.quote.startswith("… word word")
    assert found.quote.endswith("word …")
    assert set(found.quote.split()) == {"…", "word"}
    assert len(found.quote) < 260
    (found,) = passages(cited(("x", [Citation("long", "", "", 0, 1999, "", 1, 0, 0.5)])), DOCUMENTS)
    assert len(found.quote) < 500


def test_nothing_cited_gives_no_passages() -> None:
    assert passages([], DOCUMENTS) == []
    assert passages(cited(("x", [])), DOCUMENTS) == []
