import gzip
import zipfile
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data.archive import files_of


def contents(place: Path) -> dict[str, bytes]:
    return {name: read() for name, read in files_of(place).items()}


def test_a_folder_a_zip_and_a_file_are_read_alike(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "two.txt.gz").write_bytes(gzip.compress(b"2"))
    (folder / "one.txt").write_bytes(b"1")
    (folder / ".hidden").write_bytes(b"0")
    (folder / "lost").symlink_to("nowhere")
    with zipfile.ZipFile(tmp_path / "copy.zip", "w") as archive:
        archive.writestr("one.txt", b"1")
        archive.writestr("b/two.txt", b"2")
        archive.writestr("__MACOSX/one.txt", b"0")
    assert contents(folder) == contents(tmp_path / "copy.zip") == {"b/two.txt": b"2", "one.txt": b"1"}
    assert contents(folder / "b" / "two.txt.gz") == {"two.txt": b"2"}


def test_a_folder_with_nothing_but_an_archive_is_the_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "text8.zip", "w") as archive:
        archive.writestr("text8", b"a b")
    assert contents(tmp_path) == {"text8": b"a b"}


def test_a_missing_or_damaged_copy_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="gone: no such file or folder"):
        files_of(tmp_path / "gone")
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    with pytest.raises(Problem, match=r"bad\.zip: cannot be read as a zip archive"):
        files_of(tmp_path / "bad.zip")
    with zipfile.ZipFile(tmp_path / "torn.zip", "w") as archive:
        archive.writestr("enwik8", b"some text" * 10)
    data = bytearray((tmp_path / "torn.zip").read_bytes())
    data[40] ^= 255  # inside the member: its checksum no longer fits
    (tmp_path / "torn.zip").write_bytes(data)
    with pytest.raises(Problem, match=r"torn\.zip: damaged, enwik8 cannot be unpacked"):
        contents(tmp_path / "torn.zip")
