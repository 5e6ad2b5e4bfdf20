import gzip
import lzma
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from mnemon.config import Problem
from mnemon.data import text as text_module
from mnemon.data.text import decoded, read_bytes, read_text, unpacked_name

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
TEXT = "héllo\r\n世界\n" * 50


@pytest.mark.parametrize("suffix", PACK)
def test_plain_and_packed_files_give_the_same_text(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACK[suffix](TEXT.encode()))
    assert read_text(path, strict=True, skipped=Counter()) == TEXT
    assert unpacked_name(path) == "a.txt"


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_packed_files_of_several_members_are_read_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(PACK[suffix](b"one") + PACK[suffix](b"two"))
    assert read_bytes(path) == b"onetwo"


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("damage", ["cut short", "not packed", "changed"])
def test_a_damaged_packed_file_is_a_problem_that_names_it(tmp_path: Path, suffix: str, damage: str) -> None:
    packed = zstandard.ZstdCompressor(write_checksum=True).compress if suffix == ".zst" else PACK[suffix]
    data = packed(TEXT.encode())
    path = tmp_path / f"a.txt{suffix}"
    middle = len(data) // 2
    damaged = {
        "cut short": data[:middle],
        "not packed": TEXT.encode(),
        "changed": data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :],
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(Problem, match=f"a.txt{suffix}"):
        read_bytes(path)


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"gone\.txt: cannot be read"):
        read_bytes(tmp_path / "gone.txt")


def test_zst_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zst"
    path.write_bytes(PACK[".zst"](b"x"))
    monkeypatch.setattr(text_module, "zstandard", None)
    with pytest.raises(Problem, match=r"mnemon\[data\]"):
        read_bytes(path)


@pytest.mark.parametrize(("data", "reason"), [(b"a\0b", "binary"), (b"caf\xe9", "not UTF-8")])
def test_what_is_not_text_is_counted_or_a_problem(data: bytes, reason: str) -> None:
    skipped: Counter[str] = Counter()
    assert decoded(data, "here", strict=False, skipped=skipped) is None
    assert skipped == {reason: 1}
    with pytest.raises(Problem, match=f"here: {reason}.*--strict"):
        decoded(data, "here", strict=True, skipped=skipped)
