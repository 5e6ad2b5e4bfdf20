import json
from pathlib import Path

import pytest

from mnemon.cli import main
from mnemon.index import MilvusStore, StoreShape
from mnemon.index.milvus import Place
from mnemon.index.milvus_connection import Connection
from stores import LITE


@pytest.fixture(scope="module")
def run(texts: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "memorizing-tiny", "--data", str(texts), "--out", str(out), "--train.steps=3", *small]) == 0
    return out


def evaluated(run: Path, flags: str, capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["eval", str(run), "--json", *flags.split()]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_holds_each_memory_size(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluated(run, "--memory 0,16,64 --split all", capsys)
    assert list(found["memory"]) == ["0", "16", "64"]
    assert set(found["memory"]["16"]) == {
        "nats_per_token",
        "perplexity",
        "perplexity_without_eos",
        "bits_per_byte",
        "by_position",
    }
    assert found["tokens"] == found["bytes"] > 0
    values = [each["bits_per_byte"] for each in found["memory"].values()]
    assert len(set(values)) == 3


def test_the_test_split_is_read_by_default_and_other_texts_on_demand(
    run: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = evaluated(run, "--memory 0 --split all", capsys)
    parts = [evaluated(run, f"--memory 0 --split {split}", capsys) for split in ("train", "valid", "test")]
    assert evaluated(run, "--memory 0", capsys) == parts[2]
    assert sum(part["bytes"] for part in parts) == everything["bytes"]
    other = evaluated(run, f"--memory 0 --split all --data {texts}/1.txt", capsys)
    assert other["bytes"] == len((texts / "1.txt").read_text())


def test_less_may_be_read(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluated(run, "--memory 0 --split train --max-documents 2 --max-tokens 30", capsys)
    assert found["tokens"] == 60


def test_the_memory_of_another_document_is_a_control(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, other = (
        evaluated(run, f"--memory 64 --split all --memory-source {kind}", capsys) for kind in ("own", "other")
    )
    assert own["tokens"] == other["tokens"]
    assert own["memory"]["64"] != other["memory"]["64"]


def test_a_model_is_read_with_a_longer_cache_than_it_was_trained_with(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, same, longer, finer = (
        evaluated(run, f"--memory 0 --split all {flags}", capsys)["memory"]["0"]["bits_per_byte"]
        for flags in ("", "--window 16", "--window 100", "--segment 8")
    )
    assert trained == same
    assert trained != longer
    assert finer == pytest.approx(trained, abs=1e-3), "the window is the same, however the text is cut"


def test_people_get_tables(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), "--memory", "0,64", "--split", "all"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].split() == ["memory", "nats/token", "perplexity", "bits/byte"]
    assert "0-127" in said.out
    assert "tokens" in said.out.splitlines()[-1]
    assert "evaluating" in said.err


def test_words_get_a_perplexity_without_line_ends(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text(" = A =  \n \n one of them is that one \n" * 20)
    source, out = f"wikitext-103:{tmp_path}", str(tmp_path / "run")
    words = ["train", "memorizing-tiny", "--data", source, "--out", out, "--train.steps=2", *small]
    assert main(words) == 2
    assert "not the whole of wikitext-103 (train tokens" in capsys.readouterr().err
    assert main([*words, "--partial", "--data.tokenizer=words"]) == 0
    assert json.loads((tmp_path / "run" / "corpus.json").read_text())["name"] == "wikitext-103-partial"
    capsys.readouterr()
    found = evaluated(tmp_path / "run", "--memory 0 --split valid", capsys)["memory"]["0"]
    assert found["perplexity_without_eos"] != found["perplexity"]
    assert main(["eval", out, "--memory", "0", "--data", source, "--partial"]) == 0
    assert "perplexity without <eos>" in capsys.readouterr().out.splitlines()[0]


def test_what_was_skipped_is_counted_or_an_error(
    run: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text((texts / "1.txt").read_text())
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    words = ["eval", str(run), "--data", str(tmp_path), "--split", "all", "--memory", "0"]
    assert main(words) == 0
    assert capsys.readouterr().out.endswith("; skipped 1 not UTF-8\n")
    assert main([*words, "--strict"]) == 2
    assert "b.txt: not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "mnemon: Missing from mnemon eval: PATH run folder"),
        ("{new}", "mnemon: {new}: no such run folder"),
        ("{run} --memory 0;1", "mnemon: --memory 0;1: give whole numbers with commas between, such as 0,512,8192"),
        ("{run} --memory 2", "mnemon: a memory of 2 entries is smaller than top_k = 4"),
        ("{run} --data {new}", "mnemon: data source '{new}': no such data set, file or folder"),
        ("{run} --data {one} --split valid", "mnemon: one: no documents in split 'valid'; --split all reads every"),
        ("{run} --split tets", "mnemon: invalid choice 'tets' for argument '--split'"),
        ("{run} --memories 0", "mnemon: --memories: unknown flag (did you mean '--memory'?)"),
        ("{run} --rows 0", "mnemon: rows 0"),
        ("{run} --window 0", "mnemon: window 0: must be at least 1"),
        ("{run} --clamp 9", "mnemon: clamp 9: for Transformer-XL positions alone; this model has 't5' positions"),
    ],
)
def test_what_does_not_fit_is_one_line(
    words: str, message: str, run: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = tmp_path / "one"
    one.mkdir()
    (one / "1.txt").write_text("a single document")
    places = {"run": run, "new": tmp_path / "new", "one": one}
    assert main(["eval", *words.format(**places).split()]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(message.format(**places))
    assert error.count("\n") == 1


def test_a_memory_that_lies_elsewhere_gives_the_perplexity_of_the_one_here(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = "--memory 48 --split all --max-documents 2 --max-tokens 150"
    here = evaluated(run, flags, capsys)
    for store in ("mmap", "slots", f"milvus:uri={LITE}"):
        there = evaluated(run, f"{flags} --store {store}", capsys)
        found, expected = (each["memory"]["48"]["perplexity"] for each in (there, here))
        assert found == pytest.approx(expected, rel=1e-5)
    fewer = evaluated(run, f"{flags} --store slots:evict=attention", capsys)
    assert fewer["memory"]["48"]["perplexity"] != here["memory"]["48"]["perplexity"], "other entries are kept"


def test_an_unknown_store_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), "--store", "mmpa"]) == 2
    said = capsys.readouterr().err
    assert "'mmpa': no such index (did you mean 'mmap'?)" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("milvus:uri=http://127.0.0.1:1", "nothing answers there"),
        ("milvus:uri={file},collection=unread,fingerprint=mine", "filled by another model"),
    ],
)
def test_a_memory_that_cannot_be_reached_is_said_before_texts_are_read(
    run: Path, store: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    MilvusStore.create(Place(Connection(str(LITE)), "unread"), f"of {said}", StoreShape(1, 1, 4, 4, "float32"))
    store = store.format(file=LITE)
    assert main(["eval", str(run), "--data", "not-there", "--memory", "48", "--store", store]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert main(["eval", str(run), "--data", "not-there", "--memory", "0", "--store", store]) == 2
    assert "not-there" in capsys.readouterr().err, "nothing is to be remembered"
