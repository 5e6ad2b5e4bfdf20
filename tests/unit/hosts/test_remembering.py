from pathlib import Path

import pytest
import torch

from memories import equal
from mnemon.config import Problem
from mnemon.hosts import Keeping, Memory, MemoryConfig, Remembered, remember, sources
from mnemon.memory import Document, check, load, read_contents, writer
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
    (texts / "deep" / "a.md").write_text("the red valve opens first\n" * 9)

    def stop(done: int, total: int, said: str) -> None:
        if ", 1 kept, " in said:
            assert [each.name for each in read_contents(Path("m")).documents] == ["docs/b.txt"], "a kill would lose it"
        if done > 75:  # in the second document
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
    other = Memory.load("m", llama(dtype=torch.float32), byte_tokenizer())
    other.read(text="another", document="other")
    other.save("m")
    with pytest.raises(Problem, match="m: another process has written this memory"), mine:
        pass
    with Keeping(other, Path("m")), pytest.raises(Problem, match=r"m: another process \(\d+ on"):
        memory.save("m")
    assert "other" in [each.name for each in read_contents(Path("m")).documents]


def test_what_is_said_to_be_kept_is_on_the_disk_to_the_last_bit(texts: Path) -> None:
    for number in range(20):
        (texts / f"e{number:02}.txt").write_text(f"number {number} of twenty\n" * (1 + number % 3))
    memory, seen = attached(SMALL.replace(size=5000)), []

    def look(done: int, total: int, said: str) -> None:
        kept = int(said.split(", ")[1].split()[0])
        if kept != len(seen):
            seen.append(kept)
            found = load("m", verify=True)[1]
            assert len(found) == kept
            assert all(equal(*pair) for pair in zip(found, memory.documents, strict=True))

    read(memory, texts, note=look)
    assert seen == list(range(1, 23))
    assert sorted(path.suffix for path in Path("m").iterdir()) == ["", ".json", *[".safetensors"] * 22]
    assert check("m") == []


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_what_goes_from_a_full_memory_goes_from_its_folder(texts: Path, precision: str) -> None:
    for number in range(12):
        (texts / f"e{number:02}.txt").write_text(f"number {number}\n" * 3)
    memory = attached(SMALL.replace(size=100))

    def look(done: int, total: int, said: str) -> None:
        if done < total:  # the last note is of what is on the disk
            return
        found = Memory.load("m", llama(dtype=torch.float32), byte_tokenizer(), **dict(SMALL.replace(size=100)))
        if precision == "float32":
            assert all(equal(*pair) for pair in zip(found.documents, memory.documents, strict=True))
        assert [(each.name, each.spans.tolist()) for each in found.documents] == [
            (each.name, each.spans.tolist()) for each in memory.documents
        ]

    found, _ = sources([texts])
    for each in found:
        remember(Keeping(memory, Path("m"), precision), [each], note=look)
    assert len(memory) == 100
    assert check("m") == []
    assert len(list(Path("m").glob("*.safetensors"))) == len(memory.documents)
    if precision == "int8":
        assert all(0.5 < share < 1 for share in read_contents(Path("m")).recall.values())


def test_saving_again_looks_at_nothing_that_is_there(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = attached()
    read(memory, texts)
    looked: list[str] = []
    whole = writer.stored

    def noting(folder: Path, document: Document, *rest: object) -> object:
        looked.append(document.name)
        return whole(folder, document, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(writer, "stored", noting)
    again = Memory.load("m", llama(dtype=torch.float32), byte_tokenizer())
    again.read(text="more", document="more")
    assert again.save("m").written == 1
    again.forget("docs/b.txt")
    assert (again.save("m").removed, again.save("m", "int8").written) == (1, 2)
    assert looked == ["more", "docs/deep/a.md", "more"]
    assert again.save("elsewhere").written == 2
