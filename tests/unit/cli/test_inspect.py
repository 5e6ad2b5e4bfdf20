import json
from pathlib import Path

import pytest

from mnemon.cli import main
from mnemon.studies.reproduce import page


@pytest.fixture(scope="module")
def runs(texts: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a memory and one without, of a few steps each, on texts of which two are for tests."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "texts").mkdir()
    named = [{"id": path.stem, "text": path.read_text()} for path in sorted(texts.iterdir())]
    for split, documents in (("train", named[:4]), ("valid", named[4:6]), ("test", named[6:])):
        (folder / "texts" / f"{split}.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in documents))
    start = ["--data", str(folder / "texts"), "--train.steps=2"]
    assert main(["train", "memorizing-tiny", "--out", str(folder / "memory"), *start, *small]) == 0
    plain = [flag for flag in small if "knn" not in flag]
    assert main(["train", "transformer-xl-tiny", "--out", str(folder / "plain"), *start, *plain]) == 0
    return folder


def inspected(words: str, capsys: pytest.CaptureFixture[str]) -> dict:
    capsys.readouterr()
    assert main(["inspect", *words.split(), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_file_is_inspected_and_shown_on_a_page(
    runs: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = inspected(f"{runs}/memory {texts}/1.txt --other {texts}/2.txt --out {tmp_path}/new", capsys)
    assert (value["document"], value["other"], value["memory"]) == ("1.txt", "2.txt", 64)
    assert set(value["nats_per_token"]) == {"memory", "none", "shuffled", "other"}
    data = json.loads(Path(value["data"]).read_text(encoding="utf-8"))
    assert data["run"] == "memory"
    assert data["text"] == (texts / "1.txt").read_text()
    assert value["tokens"] == len(data["text"])
    assert Path(value["page"]).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_test_document_is_inspected_by_name_against_the_next_longer_one(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(runs / "memory")]) == 2
    assert "give a FILE, or --document with one of the test split: 6, 7\n" in capsys.readouterr().err
    value = inspected(f"{runs}/memory --document 6 --memory 16 --max-tokens 90 --out {tmp_path}/new", capsys)
    assert (value["document"], value["other"], value["memory"], value["tokens"]) == ("6", "7", 16, 90)


def test_a_run_without_memory_has_losses_and_heads(
    runs: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = inspected(f"{runs}/plain {texts}/1.txt --out {tmp_path}/new", capsys)
    assert list(value["nats_per_token"]) == ["none"]
    assert value["gains"] == {}
    assert len(value["heads"]) == 4


def test_people_get_tables_and_progress(
    runs: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["inspect", str(runs / "memory"), str(texts / "1.txt"), "--other", str(texts / "2.txt")]
    assert main([*words, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].split() == ["memory", "nats/token"]
    assert "returning name" in said.out
    assert said.out.splitlines()[-2] == f"page: {tmp_path}/inspection.html"
    for reading in ("reading with memory", "reading without memory", "looking at what was remembered"):
        assert reading in said.err
    assert "tokens/s" in said.err
    assert main([*words, "--out", str(tmp_path)]) == 2
    assert "inspection.html: exists already; choose another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{runs}/nothing {texts}/1.txt", "{runs}/nothing: no such run folder"),
        ("{texts} {texts}/1.txt", "{texts}/config.json: no such file"),
        ("{runs}/memory {texts}/none.txt", "{texts}/none.txt: cannot be read (No such file or directory)"),
        ("{runs}/memory {texts}", "{texts}: cannot be read (Is a directory)"),
        ("{runs}/memory {new}/empty.txt --other {texts}/1.txt", "{new}/empty.txt: empty; give a text to read"),
        ("{runs}/memory {new}/short.txt --other {texts}/1.txt", "short.txt: 20 tokens to predict, and the memory is "),
        ("{runs}/memory {new}/binary.txt --other {texts}/1.txt", "{new}/binary.txt: binary; convert it to UTF-8 text"),
        ("{runs}/memory {texts}/1.txt --document x", "{texts}/1.txt and document 'x': give one of them"),
        ("{runs}/memory --document nobody", "document 'nobody': not in the test split of this run's corpus"),
        ("{runs}/memory {texts}/1.txt --other {texts}/2.txt --memory 3", "3 entries is smaller than top_k = 4"),
        ("{runs}/plain {texts}/1.txt --memory 64", "memory 64: this model has no kNN memory"),
        ("{runs}/memory {texts}/1.txt --max-tokens 0 --other {texts}/2.txt", "max_tokens 0: must be at least 1"),
        ("{runs}/memory {texts}/1.txt --check", "leave out FILE and --document"),
        ("{runs}/memory --check --documents 0", "documents 0: at least 1"),
        ("{runs}/plain --check", "this model has no kNN memory, or is asked to read without one"),
        ("{runs}/memory {texts}/1.txt --otter x", "--otter: unknown flag (did you mean '--other'?)"),
    ],
)
def test_mistakes_are_said_in_one_line(
    runs: Path, texts: Path, tmp_path: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "short.txt").write_text("x" * 20)
    (tmp_path / "binary.txt").write_bytes(b"\0\1")
    places = {"runs": runs, "texts": texts, "new": tmp_path}
    capsys.readouterr()
    assert main(["inspect", *words.format(**places).split(), "--out", str(tmp_path / "out")]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mnemon:")]
    assert message.format(**places) in line
    assert not (tmp_path / "out").exists()


def test_names_that_return_are_checked_and_the_record_makes_a_page(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = inspected(f"{runs}/memory --check --documents 2 --memory 96", capsys)
    assert (record["memory"], record["window"], record["value"], record["run"]) == (96, 16, "next", "memory")
    for view in ("name", "token", "first token"):
        high, low, every = (record["views"][view][group] for group in ("high", "low", "every"))
        assert high["names"] == low["names"] <= every["names"]
        assert high["bits_gained"] >= every["bits_gained"] >= low["bits_gained"]
        assert 0 <= every["interval"][0] <= every["rate"] <= every["interval"][1] <= 1
        assert every["times_random"] == pytest.approx(every["rate"] / every["random"])
    facts = {"environment": {"processor": "p", "torch": "t", "date": "d"}, "corpus": {"name": "c", "fingerprint": "f"}}
    shown = page({**record, **facts, "steps": 7, "table": "B-retrieval", "command": "mnemon reproduce B-retrieval"})
    assert shown.startswith("# What the memory retrieves\n")
    assert f"| every name | 0 | {record['views']['name']['every']['names']:,} |" in shown
    for view, pieces in (("name", "of all their pieces"), ("token", "of one piece")):
        assert f"By the gain {pieces} it is {'met' if record['met'][view] else 'not met'}:" in shown
    assert "7 steps" in shown
    assert main(["inspect", f"{runs}/memory", "--check", "--memory", "96"]) == 0
    assert "Asked at the first token of the name, names by its gain:" in capsys.readouterr().out
