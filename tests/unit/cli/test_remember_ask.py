import json
from pathlib import Path

import pytest
import torch

from mnemon.cli import main
from readers import byte_tokenizer, llama

SMALL = ["--memory.segment=24", "--memory.overlap=8", "--memory.top-k=4"]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    llama(dtype=torch.float32).save_pretrained("host")
    byte_tokenizer().save_pretrained("host")
    Path("manual.txt").write_text("The pump has two valves.\nThe red valve opens first.\n")
    Path("notes.txt").write_text("The red valve was replaced in March.\n")
    return "host"


def test_documents_are_remembered_and_questions_answered_with_their_sources(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["remember", host, "--memory", "m.mem", "manual.txt", "notes.txt", *SMALL, "--memory.layers", "0", "2"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out.startswith("read 2 documents, 89 tokens in ")
    assert said.out.splitlines()[-1].startswith("m.mem: 2 documents, 89 entries, ")
    assert "tokens/s" in said.err
    assert main([*words, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["kept"], value["read"], value["entries"]) == (["manual.txt", "notes.txt"], [], 89)

    question = ["ask", host, "--memory", "m.mem", "Which valve?", "--max-tokens", "5", "--cite"]  # layers of the file
    assert main([*question, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert len(value["tokens"]) == 5
    assert {each["document"] for each in value["passages"]} <= {"manual.txt", "notes.txt"}
    assert main(question) == 0
    out = capsys.readouterr().out
    assert out.startswith(value["answer"])
    first = value["passages"][0]
    assert f"[1] {' '.join(first['said'].split())!r}  {first['document']}, line" in out


def test_a_full_memory_a_changed_document_and_precision_are_told(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["remember", host, "--memory=m", "manual.txt", *SMALL]
    assert main([*words, "--memory.size=40", "--precision=int8"]) == 0
    out = capsys.readouterr().out
    assert "the memory is full: its oldest 12 entries went; --memory.size" in out
    assert "kept in int8: recall@32 0.9" in out
    Path("manual.txt").write_text("The pump is gone.\n")
    assert main(words) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("mnemon: manual.txt has changed since being remembered")
    assert main([*words, "--replace"]) == 0
    assert "replaced manual.txt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("remember", "MODEL is missing: mnemon remember MODEL [OPTIONS]"),
        ("remember host --memory=m", "no documents given"),
        ("remember host manual.txt", "--memory"),
        ("remember host --memory=m manual.txt nothing.txt", "nothing.txt: cannot be read"),
        ("remember nobody --memory=m manual.txt", "nobody: no such folder, and no model of the hub"),
        ("remember host --memory=notes.txt manual.txt", "notes.txt: "),
        ("remember host --memory=m manual.txt --memory.topk=3", "--memory.topk: unknown flag (did you mean"),
        ("ask host --memory=m Why?", "m: no such memory; mnemon remember host --memory m DOCS makes one"),
        ("ask host --memory=m", "QUESTION"),
    ],
)
@pytest.mark.usefixtures("host")
def test_what_does_not_fit_is_one_line(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    err = capsys.readouterr().err.splitlines()
    assert said in err[-1]
    assert err[-1].startswith("mnemon: ")
