import json
from collections import defaultdict
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemon.config import Problem
from mnemon.data import NO_TARGET, Batch, Document, Lanes, inputs_and_targets
from mnemon.data.byte_tokens import Bytes
from mnemon.data.symbols import Symbols
from mnemon.data.tokenizer import Tokenizer

# No two have the same length; one is empty, one has a single byte, several are multiples of the segment.
TEXTS = ["abcdefg", "", "h", "ijklmnopqrstuvwxyz", "0123456789", "ABCDE", "FGHIJKLMNOPQRST"]
SEGMENT = 5
TOKENIZERS: dict[str, Tokenizer] = {"start": Bytes(), "no start": Symbols(range(32, 127))}


def documents(texts: list[str] = TEXTS) -> list[Document]:
    return [Document(f"d{k}", text) for k, text in enumerate(texts)]


def lanes(tokenizer: Tokenizer | None = None, rows: int = 3, **options: Any) -> Lanes:
    return Lanes(documents(), tokenizer or Bytes(), rows, SEGMENT, **{"seed": 0, **options})


def same(left: Batch, right: Batch) -> bool:
    return all((getattr(left, name) == getattr(right, name)).all() for name in Batch.__dataclass_fields__)


def read(batches: Lanes) -> dict[int, list[tuple[np.ndarray, np.ndarray, int]]]:
    """Pieces `(tokens, targets, epoch-free row)` of each document in the order in which they came, flags checked."""
    pieces = defaultdict(list)
    open_at: dict[int, tuple[int, int]] = {}
    for batch in batches:
        assert batch.tokens.shape == batch.targets.shape == (batches.rows, batches.segment)
        for row, (length, document) in enumerate(zip(batch.lengths.tolist(), batch.documents.tolist(), strict=True)):
            assert (batch.targets[row, length:] == NO_TARGET).all()
            assert (batch.tokens[row, length:] == 0).all()
            if length == 0:
                assert document == -1
                assert not batch.starts[row]
                assert not batch.ends[row]
                continue
            offset = int(batch.offsets[row])
            assert bool(batch.starts[row]) == (row not in open_at)
            assert open_at.pop(row, (document, offset)) == (document, offset), "a lane changed its document in between"
            if not batch.ends[row]:
                assert length == batches.segment, "only the last piece is short"
                open_at[row] = (document, offset + length)
            pieces[document].append((batch.tokens[row, :length].numpy(), batch.targets[row, :length].numpy(), row))
    assert not open_at
    return pieces


@pytest.mark.parametrize("rows", [1, 2, 3, 11])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
def test_every_document_is_read_once_in_order_in_one_lane(tokenizer: Tokenizer, rows: int, shuffle: bool) -> None:
    pieces = read(lanes(tokenizer, rows, shuffle=shuffle, epochs=1))
    expected = {k for k, text in enumerate(TEXTS) if len(text) > (tokenizer.start is None)}
    assert set(pieces) == expected
    for document, parts in pieces.items():
        inputs, targets = inputs_and_targets(tokenizer.encode(TEXTS[document]), tokenizer.start)
        assert np.concatenate([part[0] for part in parts]).tolist() == inputs.tolist()
        assert np.concatenate([part[1] for part in parts]).tolist() == targets.tolist()
        assert len({part[2] for part in parts}) == 1


def test_two_epochs_read_every_document_twice_in_different_orders() -> None:
    batches = list(lanes(rows=1, epochs=2))
    order = [int(batch.documents[0]) for batch in batches if batch.starts[0]]
    known = [k for k, text in enumerate(TEXTS) if text]
    assert sorted(order[: len(known)]) == sorted(order[len(known) :]) == known
    assert order[: len(known)] != order[len(known) :]


def test_a_segment_without_shuffling_written_out() -> None:
    first, second, third, *rest = Lanes(documents(["abcdefg", "hi"]), Bytes(), 2, 3, seed=0, shuffle=False, epochs=1)
    assert rest == []
    a = ord("a")
    assert first.tokens.tolist() == [[256, a, a + 1], [256, a + 7, 0]]
    assert first.targets.tolist() == [[a, a + 1, a + 2], [a + 7, a + 8, -100]]
    assert first.starts.tolist() == [True, True]
    assert first.ends.tolist() == [False, True]
    assert first.lengths.tolist() == [3, 2]
    assert second.tokens.tolist() == [[a + 2, a + 3, a + 4], [0, 0, 0]]
    assert second.starts.tolist() == [False, False]
    assert second.documents.tolist() == [0, -1]
    assert third.targets.tolist() == [[a + 6, -100, -100], [-100, -100, -100]]
    assert third.offsets.tolist() == [6, 0]
    assert third.ends.tolist() == [True, False]


@given(st.integers(0, 25), st.integers(1, 4), st.sampled_from(list(TOKENIZERS)))
def test_seeking_a_position_equals_never_having_stopped(steps: int, rows: int, kind: str) -> None:
    running = lanes(TOKENIZERS[kind], rows)
    for _ in islice(running, steps):
        pass
    position = json.loads(json.dumps(running.position()))
    resumed = lanes(TOKENIZERS[kind], rows)
    resumed.seek(position)
    for _ in range(15):
        assert same(next(running), next(resumed))


def test_a_position_survives_what_is_read_afterwards() -> None:
    running = lanes()
    next(running)
    position = running.position()
    before = json.dumps(position)
    next(running)
    assert json.dumps(position) == before


def test_seeking_the_end_ends() -> None:
    running = lanes(epochs=1)
    for _ in running:
        pass
    resumed = lanes(epochs=1)
    resumed.seek(running.position())
    assert list(resumed) == []


@pytest.mark.parametrize("changed", [{"rows": 2}, {"seed": 1}, {"shuffle": False}])
def test_seeking_a_position_of_other_lanes_is_a_problem(changed: dict[str, Any]) -> None:
    position = lanes().position()
    with pytest.raises(Problem, match=f"data position: {next(iter(changed))} was"):
        lanes(**changed).seek(position)


def test_seeking_a_position_over_other_documents_is_a_problem() -> None:
    position = lanes().position()
    with pytest.raises(Problem, match="documents was 7"):
        Lanes(documents()[:6], Bytes(), 3, SEGMENT, seed=0).seek(position)


def test_the_seed_decides_the_order() -> None:
    def order(seed: int) -> list[int]:
        return [int(batch.documents[0]) for batch in lanes(rows=1, seed=seed, epochs=1) if batch.starts[0]]

    assert order(0) == order(0)
    assert order(0) != order(1)


@pytest.mark.parametrize("rows", [1, 3, 4])
@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
def test_a_stream_is_cut_into_equal_lanes_that_cover_it(tokenizer: Tokenizer, rows: int) -> None:
    text = "".join(chr(33 + k % 90) for k in range(61))
    reading = Lanes([Document("s", text, stream=True)], tokenizer, rows, SEGMENT, seed=0, shuffle=False, epochs=1)
    parts: list[list[int]] = [[] for _ in range(rows)]
    for batch in reading:
        for row, length in enumerate(batch.lengths.tolist()):
            parts[row] += batch.targets[row, :length].tolist()
            assert length == 0 or batch.documents[row] == 0
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1
    ids = tokenizer.encode(text).tolist()
    if tokenizer.start is None:
        assert sum(lengths) == len(ids) - rows
    else:
        assert [i for part in parts for i in part] == ids


def test_offsets_of_a_stream_count_from_the_beginning_of_the_document() -> None:
    (batch, *_) = Lanes([Document("s", "abcdefghij", stream=True)], Bytes(), 2, 4, seed=0, shuffle=False, epochs=1)
    assert batch.offsets.tolist() == [0, 5]
    assert batch.starts.tolist() == [True, True]


def test_lanes_share_tokens_through_a_cache() -> None:
    cache: dict[str, Any] = {}
    for _ in lanes(epochs=1, cache=cache):
        pass
    assert set(cache) == {f"d{k}" for k in range(len(TEXTS))}
    cache["d0"] = Bytes().encode("other")
    read_again = read(lanes(epochs=1, cache=cache))
    assert bytes(read_again[0][0][1].tolist()) == b"other"


def test_documents_are_encoded_only_when_read() -> None:
    cache: dict[str, Any] = {}
    next(lanes(rows=1, cache=cache))
    assert 1 <= len(cache) <= 3


def test_no_documents_is_a_problem() -> None:
    with pytest.raises(Problem, match="the split is empty"):
        Lanes([], Bytes(), 1, SEGMENT, seed=0)


@pytest.mark.parametrize("epochs", [None, 3])
def test_documents_without_a_token_to_predict_are_a_problem(epochs: int | None) -> None:
    with pytest.raises(Problem, match="all of them are empty or too short"):
        next(Lanes(documents(["a", ""]), Symbols(range(97, 99)), 2, SEGMENT, seed=0, epochs=epochs))


def test_no_rows_or_no_segment_is_a_problem() -> None:
    with pytest.raises(Problem, match="at least 1 row"):
        lanes(rows=0)


def test_parts_cut_a_long_document_into_equal_documents_of_their_own() -> None:
    documents = [Document("long", "abcdefghij" * 10), Document("short", "xyz")]
    lanes = Lanes(documents, Bytes(), rows=1, segment=7, seed=0, shuffle=False, epochs=1, part=40)
    batches = list(lanes)
    begun = [int(batch.offsets[0]) for batch in batches if batch.starts[0]]
    assert begun == [0, 33, 66, 0]  # 100 characters in three parts, then the short document
    read = [token for batch in batches for token in batch.targets[0].tolist() if token >= 0]
    assert bytes(read[:100]).decode() == documents[0].text


def test_inner_predictions_leave_out_the_last_of_a_whole_segment() -> None:
    batch = next(Lanes(documents(), Bytes(), 2, SEGMENT, seed=0))
    inner = batch.inner()
    assert bool((inner.targets[:, -1] < 0).all())
    assert inner.targets[:, :-1].equal(batch.targets[:, :-1])
    assert inner.tokens.equal(batch.tokens)
