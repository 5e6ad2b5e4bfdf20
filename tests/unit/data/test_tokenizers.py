"""What holds for every tokenizer in TOKENIZERS."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import models, pre_tokenizers, trainers

from mnemon.config import Problem
from mnemon.data import TOKENIZERS, DataConfig, Document, Tokenizer, load_tokenizer, make_tokenizer

TRAINING = [
    Document("a", "def read(path):\n    return path.read_text()\n" * 20),
    Document("b", "the quick brown fox <unk> jumps\nover the lazy dog\n" * 20),
    Document("c", "".join(map(chr, range(32, 127))) + "\n\tcafé 世界"),
]
EXACT = ("bytes", "bpe")


def supplied(folder: Path) -> str:
    """A tokenizer.json that a user might bring: whole words, a start token, truncation and a special token."""
    library = Library(models.WordLevel(unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["<unk>", "<s>"], show_progress=False)
    library.train_from_iterator([document.text for document in TRAINING], trainer)
    library.enable_truncation(4)
    library.enable_padding(length=8)
    path = folder / "supplied.json"
    library.save(str(path))
    return str(path)


@pytest.fixture(scope="module", params=list(TOKENIZERS))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def tokenizer(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    file = supplied(tmp_path_factory.mktemp("supplied")) if kind == "file" else None
    return make_tokenizer(DataConfig(tokenizer=kind, tokenizer_file=file), TRAINING)


@pytest.fixture(scope="module")
def exact() -> list[Tokenizer]:
    return [make_tokenizer(DataConfig(tokenizer=kind), TRAINING) for kind in EXACT]


@given(text=st.text(max_size=60))
def test_bytes_and_bpe_give_any_text_back(exact: list[Tokenizer], text: str) -> None:
    for tokenizer in exact:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_names_in_a_text_are_text(exact: list[Tokenizer]) -> None:
    for tokenizer in exact:
        ids = tokenizer.encode("a <start> b")
        assert tokenizer.start not in ids.tolist()
        assert tokenizer.decode([tokenizer.start or 0, *ids.tolist()]) == "a <start> b"


def test_ids_stay_below_the_vocabulary_size(tokenizer: Tokenizer) -> None:
    for document in TRAINING:
        ids = tokenizer.encode(document.text)
        assert ids.dtype == np.int32
        assert ids.ndim == 1
        assert ids.min() >= 0
        assert ids.max() < tokenizer.vocab_size
    assert tokenizer.start is None or 0 <= tokenizer.start < tokenizer.vocab_size


def test_spans_cover_each_token_in_order(tokenizer: Tokenizer) -> None:
    for text in (document.text for document in TRAINING):
        spans = tokenizer.spans(text)
        assert spans.shape == (len(tokenizer.encode(text)), 2)
        assert (spans[:, 0] < spans[:, 1]).all()
        assert (np.diff(spans[:, 0]) >= 0).all()
        covered = np.zeros(len(text), bool)
        for start, end in spans:
            covered[start:end] = True
        assert "".join(character for character, seen in zip(text, covered, strict=True) if not seen).strip() == ""


def test_a_saved_tokenizer_is_the_same_one(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(str(tmp_path / "tokenizer.json"))
    assert type(loaded) is type(tokenizer)
    assert (loaded.vocab_size, loaded.start) == (tokenizer.vocab_size, tokenizer.start)
    for document in TRAINING:
        ids = tokenizer.encode(document.text)
        assert loaded.encode(document.text).tolist() == ids.tolist()
        assert loaded.spans(document.text).tolist() == tokenizer.spans(document.text).tolist()
        assert loaded.decode(ids) == tokenizer.decode(ids)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_making_it_twice_saves_the_same_file(tokenizer: Tokenizer, kind: str, tmp_path: Path) -> None:
    file = supplied(tmp_path) if kind == "file" else None
    again = make_tokenizer(DataConfig(tokenizer=kind, tokenizer_file=file), TRAINING)
    assert json.dumps(again.values()) == json.dumps(tokenizer.values())


def test_the_empty_text_has_no_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("").tolist() == []
    assert tokenizer.encode("").dtype == np.int32
    assert tokenizer.spans("").shape == (0, 2)
    assert tokenizer.decode([]) == ""


def test_bytes_of_a_text_are_those_of_utf8(tokenizer: Tokenizer) -> None:
    assert tokenizer.n_bytes("aé世🎉") == 1 + 2 + 3 + 4


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", "{}", '{"format": "mnemon-tokenizer"}', '{"model": {"type": 3}}']
)
def test_a_damaged_or_foreign_file_is_a_problem_that_names_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(Problem, match=r"tokenizer\.json: "):
        load_tokenizer(path)
    with pytest.raises(Problem, match=r"tokenizer\.json: "):
        make_tokenizer(DataConfig(tokenizer="file", tokenizer_file=str(path)), [])


def test_every_cut_of_a_saved_tokenizer_is_a_problem(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    whole = path.read_text()
    for end in range(0, len(whole) - 2, max(1, len(whole) // 20)):
        path.write_text(whole[:end])
        with pytest.raises(Problem, match=r"tokenizer\.json: "):
            load_tokenizer(path)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "symbols"},
        {"kind": "symbols", "symbols": [300]},
        {"kind": "symbols", "symbols": "abc"},
        {"kind": "symbols", "symbols": [65, 65]},
        {"kind": "words", "words": 3},
        {"kind": "words", "words": ["a"]},
    ],
)
def test_a_saved_tokenizer_with_senseless_values_is_a_problem(tmp_path: Path, values: dict[str, object]) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"format": "mnemon-tokenizer", "version": 1, **values}))
    with pytest.raises(Problem, match=r"tokenizer\.json: damaged tokenizer"):
        load_tokenizer(path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"format": "mnemon-tokenizer", "version": 2, "kind": "bytes"}')
    with pytest.raises(Problem, match="tokenizer format 2, this mnemon reads 1"):
        load_tokenizer(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tokenizer": "bqe"}, r"tokenizer 'bqe': no such kind \(did you mean 'bpe'\?\)"),
        ({"tokenizer": "file"}, "give the file with 'file' only"),
        ({"tokenizer": "bpe", "tokenizer_file": "x.json"}, "give the file with 'file' only"),
        ({"tokenizer": "bytes", "vocab_size": 300}, "has a vocabulary of its own"),
        ({"tokenizer": "bpe", "vocab_size": 256}, "bpe needs at least 257 tokens"),
        ({"tokenizer": "file", "tokenizer_file": "no/such.json"}, r"no/such\.json: no such file"),
    ],
)
def test_options_that_do_not_fit_are_a_problem(options: dict[str, object], said: str) -> None:
    with pytest.raises(Problem, match=said):
        make_tokenizer(DataConfig.parse(options, "test"), TRAINING)


def test_learning_from_no_documents_is_a_problem() -> None:
    for kind in ("symbols", "words", "bpe"):
        with pytest.raises(Problem, match="learns from training documents, and there are none"):
            make_tokenizer(DataConfig(tokenizer=kind), [])
