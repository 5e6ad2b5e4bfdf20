import json
import os
from pathlib import Path

import pytest

from memories import FINGERPRINT, document, saved
from mnemon.cli import main
from mnemon.memory import load, read_contents, save


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    """A memory of two documents and, in a namespace, of a third."""
    documents = [document("manual", n=9), document("letters", n=70, seed=1), document("manual", seed=2, namespace="b")]
    save(tmp_path / "manual.mem", documents, FINGERPRINT, "int8")
    return tmp_path / "manual.mem"


def test_ls_tells_whose_memory_it_is_and_what_is_in_it(manual: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory", "ls", str(manual)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "model llama 1f3a, tokenizer 77b0"
    assert said[1] == "layers 3, 10; 2 heads of 5; positions none, values own"
    assert said[2].startswith("int8 of float32; recall@32 0.9")
    rows = [line.split() for line in said[4:]]
    assert [row[:2] for row in rows[1:4]] == [["manual", "-"], ["letters", "-"], ["manual", "b"]]
    assert [row[3] for row in rows[1:4]] == ["9", "70", "7"]
    assert main(["memory", "ls", str(manual), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["bytes"] == sum(path.stat().st_size for path in manual.glob("*.safetensors"))
    assert value["fingerprint"]["layers"] == [3, 10]
    assert [each["precision"] for each in value["documents"]] == ["int8"] * 3


def test_an_empty_memory_can_be_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory", "ls", str(saved(tmp_path / "m", []))]) == 0
    assert "nothing to find yet" in capsys.readouterr().out


def test_show_gives_a_documents_facts_and_the_beginning_of_its_text(
    manual: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["memory", "show", str(manual), "letters", "--characters", "12"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.endswith("\nWhat letters ...\n")
    assert "source      letters.txt\n" in said
    assert main([*words, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["entries"], value["characters"], value["text"]) == (
        70,
        len(document("letters", n=70).text),
        "What letters",
    )
    assert main(["memory", "show", str(manual), "manual", "--namespace", "b"]) == 0
    assert capsys.readouterr().out.endswith("xxxxxxx\n")


def test_forget_tells_what_went(manual: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = read_contents(manual).find(manual, "letters").bytes
    assert main(["memory", "forget", str(manual), "letters"]) == 0
    assert capsys.readouterr().out == f"{manual}: forgot 'letters': 70 entries, {size:,} bytes\n"
    assert main(["memory", "forget", str(manual), "manual", "--namespace", "b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 7
    assert [each.name for each in load(manual)[1]] == ["manual"]


def test_merge_makes_one_of_several(manual: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = saved(tmp_path / "other.mem", ["one", "manual"])
    words = ["memory", "merge", str(tmp_path / "all.mem"), str(manual), str(other)]
    assert main(words) == 2
    assert "other.mem: document 'manual' is another one" in capsys.readouterr().err
    assert main([*words, "--rename", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in value["documents"]] == ["manual", "letters", "manual", "one", "manual-2"]
    assert main(["memory", "check", str(tmp_path / "all.mem")]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'all.mem'}: whole: 5 documents, ")


def test_check_tells_what_is_wrong_with_status_2(manual: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = read_contents(manual).documents[1]
    os.truncate(manual / entry.file, entry.bytes - 1)
    assert main(["memory", "check", str(manual), "--json"]) == 2
    out, error = capsys.readouterr()
    (found,) = json.loads(out)["findings"]
    assert (found["document"], found["file"]) == ("'letters'", entry.file)
    assert error.startswith(f"mnemon: {manual}: 1 wrong, the first: {entry.file}: 'letters': ")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("memory", "WHAT is missing"),
        ("memory lss", "'lss': no such command (did you mean 'ls'?)"),
        ("memory ls", "Missing from mnemon memory ls"),
        ("memory ls gone.mem", "gone.mem: no memory here"),
        ("memory show {} manaul", "no document 'manaul' (did you mean 'manual'?)"),
        ("memory show {} manual", "there is 'manual' and 'manual' in namespace 'b'; give the namespace"),
        ("memory forget {} letter", "no document 'letter' (did you mean 'letters'?)"),
        ("memory merge new.mem", "no memories to merge"),
        ("memory merge {} {}", "there is a memory already"),
    ],
)
def test_bad_input_is_one_line(words: str, said: str, manual: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in manual.iterdir())
    assert main([str(manual) if word == "{}" else word for word in words.split()]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert said in error
    assert len(error.splitlines()) == 1
    assert sorted(path.name for path in manual.iterdir()) == before


@pytest.mark.parametrize("name", ["ls", "show", "forget", "merge", "check"])
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory", name, "--help"]) == 0
    assert "--json" in capsys.readouterr().out
