from pathlib import Path

import pytest
import torch

from mnemon.config import Problem
from mnemon.hosts import Keeping, Memory, MemoryConfig, Remembered, remember, sources
from mnemon.memory import read_contents
from readers import byte_tokenizer, llama

SMALL = MemoryConfig(segment=16, overlap=4, top_k=3, size=400)


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two texts, one of them below it, a packed, a binary, an empty and a hidden file."""
    monkeypatch.chdir(tmp_path)
    folder = Path("docs")
    (folder / "deep").mkdir(parents=True)
    (folder / "b.txt").write_text("the pump has two valves\n" * 3)
    (folder / "deep" / "a.md").write_text("the red valve opens first, Ützbach\n")
    (folder / "c.bin").write_bytes(b"\0\1")
    (folder / "d.txt").write_text("")
    (folder / ".hidden").write_text("no")
    return folder


def attached(config: MemoryConfig = SMALL) -> Memory:
    return Memory(llama(dtype=torch.float32), byte_tokenizer(), config)


def read(memory: Memory, folder: Path, **options: object) -> Remembered:
    found, _ = sources([folder])
    return remember(Keeping(memory, Path("m")), found, **options)  # type: ignore[arg-type]


def test_folders_give_their_texts_and_what_is_none_is_told(texts: Path) -> None:
    found, skipped = sources([texts, *[]])
    assert [each.name for each in found] == ["docs/b.txt", "docs/deep/a.md"]
    assert skipped == {"binary": ["docs/c.bin"], "empty": ["docs/d.txt"]}


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["docs/c.bin"], "docs/c.bin: binary; convert"),
        (["docs/e.txt"], "docs/e.txt: cannot be read"),
        (["docs", "docs/b.txt"], "docs/b.txt: named twice"),
        (["docs/none"], "docs/none: no files there"),
    ],
)
@pytest.mark.usefixtures("texts")
def test_files_that_are_named_must_be_texts(paths: list[str], said: str) -> None:
    Path("docs/none").mkdir()
    with pytest.raises(Problem, match=said):
        sources(paths)


def test_what_is_remembered_is_kept_and_not_read_again(texts: Path) -> None:
    told: list[tuple[int, int, str]] = []
    memory = attached()
    done = read(memory, texts, note=lambda *said: told.append(said))
    size = sum(len(each.text) for each in sources([texts])[0])
    assert (done.read, done.kept, done.tokens, done.evicted) == (["docs/b.txt", "docs/deep/a.md"], [], len(memory), 0)
    assert [said[:2] for said in told][-1] == (size, size)
    assert all("tokens/s" in said for _, _, said in told)
    again = Memory.load("m", llama(dtype=torch.float32), byte_tokenizer())
    done = read(again, texts)
    assert (done.read, done.kept, done.tokens) == ([], ["docs/b.txt", "docs/deep/a.md"], 0)
    assert again.documents[1].source == "docs/deep/a.md"


def test_a_changed_document_is_refused_or_replaced(texts: Path) -> None:
    memory = attached()
    read(memory, texts)
    (texts / "b.txt").write_text("the pump has no valves\n")
    with pytest.raises(Problem, match=r"docs/b.txt has changed since being remembered: --replace"):
        read(memory, texts)
    done = read(memory, texts, replace=True)
    assert (done.replaced, done.read, done.kept, done.evicted) == (["docs/b.txt"], [], ["docs/deep/a.md"], 0)
    assert [each.name for each in read_contents(Path("m")).documents] == ["docs/deep/a.md", "docs/b.txt"]
    assert memory.documents[-1].text == "the pump has no valves\n"
    assert memory.documents[-1].source == "docs/b.txt"


def test_an_interrupted_reading_keeps_what_was_read(texts: Path) -> None:
    def stop(done: int, total: int, said: str) -> None:
        if done > 75:  # in the second document
            assert [each.name for each in read_contents(Path("m")).documents] == ["docs/b.txt"], "a kill would lose it"
            raise KeyboardInterrupt

    memory = attached()
    with pytest.raises(KeyboardInterrupt):
        read(memory, texts, note=stop)
    assert [each.name for each in memory.documents] == ["docs/b.txt"]
    assert read(memory, texts).read == ["docs/deep/a.md"]


def test_what_a_full_memory_drops_is_counted(texts: Path) -> None:
    done = read(attached(SMALL.replace(size=50)), texts)
    assert done.tokens - done.evicted == 50


def test_namespaces_are_apart(texts: Path) -> None:
    memory = attached()
    read(memory, texts, namespace="alice")
    assert read(memory, texts, namespace="bob").kept == []
    assert {each.namespace for each in read_contents(Path("m")).documents} == {"alice", "bob"}


def test_two_writers_do_not_lose_each_others_documents(texts: Path) -> None:
    memory = attached()
    read(memory, texts)
    mine = Keeping(memory, Path("m"))
    memory.read(text="one more", document="mine")
    other = Memory.load("m", llama(dtype=torch.float32), byte_tokenizer())
    other.read(text="another", document="other")
    other.save("m")
    mine.unsaved = True
    with pytest.raises(Problem, match="m: another process has written this memory"):
        mine.save()
    assert "other" in [each.name for each in read_contents(Path("m")).documents]
