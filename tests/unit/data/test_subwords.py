import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import models, normalizers, pre_tokenizers, trainers

from mnemon.data import Document, load_tokenizer, subwords
from mnemon.data.subwords import Subwords, read_supplied, train_bpe

WORDS = ["reading", "writing", "memory", "segment", "cache", "window", "neighbours"]
TRAINING = [
    Document(word, f"def {word}_{k}(self, x):\n    return self.{word[k:]}\n" * 9) for k, word in enumerate(WORDS)
]
BPE = train_bpe(TRAINING, 300)
AWKWARD = ["a", "b ", " ", "\n", "\n\n", "\t", "\r", "'s", "é", "世", "\x1c", "\x85", "\u2028", "!", "1", "  x", "\xa0"]


def test_the_vocabulary_has_the_asked_size_with_the_start_token() -> None:
    assert BPE.vocab_size == 300
    assert BPE.start == 0
    assert BPE.library.token_to_id("<start>") == 0
    assert train_bpe([Document("a", "")], 1024).vocab_size == 257


def test_training_is_the_same_in_another_process_and_order() -> None:
    code = (
        "import json\nfrom mnemon.data import Document\nfrom mnemon.data.subwords import train_bpe\n"
        f"documents = {[(document.id, document.text) for document in TRAINING[::-1]]!r}\n"
        "print(json.dumps(train_bpe([Document(*d) for d in documents], 300).values()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert read_values(done.stdout, "other") == BPE.values()


def read_values(text: str, name: str) -> dict[str, object]:
    return Subwords(Library.from_str(text)).values()


# Its merges join spaces and line ends of every mixture, so a cut inside a run of them shows.
SPACED = train_bpe([Document(f"s{k}", "".join(AWKWARD[:7] * k) + " \n" * k + "  \n\n   a" * 9) for k in range(9)], 400)


@given(st.lists(st.sampled_from(AWKWARD), min_size=1, max_size=60))
def test_cutting_a_long_text_into_pieces_changes_no_token(parts: list[str]) -> None:
    text = "".join(parts)
    whole = SPACED.library.encode(text, add_special_tokens=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subwords, "PIECE", 5)
        patch.setattr(subwords, "PIECES", 3)
        assert SPACED.encode(text).tolist() == whole.ids
        assert SPACED.spans(text).tolist() == [list(span) for span in whole.offsets]


def test_a_long_text_is_cut_into_several_pieces() -> None:
    assert len(list(subwords._pieces("word " * 100_000))) > 5
    assert "".join(subwords._pieces("x" * 200_000)) == "x" * 200_000


def test_training_reads_a_sample_of_bounded_size() -> None:
    many = [Document(f"d{k}", "x" * 2_000_000) for k in range(12)]
    assert sum(map(len, subwords._sample(many))) == 8 * 2**20
    assert sum(map(len, subwords._sample([Document("one", "x" * 20_000_000)]))) == 8 * 2**20
    assert sum(map(len, subwords._sample(many[:2]))) == 4_000_000


def test_the_saved_file_is_read_by_the_library_itself(tmp_path: Path) -> None:
    BPE.save(tmp_path / "tokenizer.json")
    library = Library.from_file(str(tmp_path / "tokenizer.json"))
    text = TRAINING[0].text
    assert library.encode(text, add_special_tokens=False).ids == BPE.encode(text).tolist()


def words(special: list[str]) -> Library:
    library = Library(models.WordLevel(unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.normalizer = normalizers.Lowercase()
    library.train_from_iterator(
        ["one two three"], trainers.WordLevelTrainer(special_tokens=["[UNK]", *special], show_progress=False)
    )
    return library


@pytest.mark.parametrize(("special", "start"), [(["<s>"], 1), (["</s>", "[CLS]"], 2), ([], None), (["</s>"], None)])
def test_a_supplied_tokenizer_starts_with_its_own_special_token(
    tmp_path: Path, special: list[str], start: int | None
) -> None:
    words(special).save(str(tmp_path / "t.json"))
    assert read_supplied(tmp_path / "t.json").start == start


def test_an_ordinary_word_called_like_a_start_token_is_none(tmp_path: Path) -> None:
    library = words([])
    library.train_from_iterator(["<s> a"], trainers.WordLevelTrainer(special_tokens=["[UNK]"], show_progress=False))
    assert Subwords(library).start is None


def test_settings_for_batches_in_a_supplied_file_are_ignored(tmp_path: Path) -> None:
    library = words(["<s>"])
    library.enable_truncation(2)
    library.enable_padding(length=9)
    library.save(str(tmp_path / "t.json"))
    tokenizer = load_tokenizer(tmp_path / "t.json")
    assert len(tokenizer.encode("One two three one two")) == 5
    assert tokenizer.spans("One  two").tolist() == [[0, 3], [5, 8]]


def test_the_vocabulary_size_covers_the_largest_id() -> None:
    library = Library(models.WordLevel({"[UNK]": 0, "a": 7}, unk_token="[UNK]"))
    assert Subwords(library).vocab_size == 8
