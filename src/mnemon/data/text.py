import gzip
import lzma
import zlib
from collections import Counter
from pathlib import Path

from mnemon.config import Problem

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment]

PACKED = (".gz", ".xz", ".zst")


def unpacked_name(path: Path) -> str:
    """The file's name without the suffix of its compression."""
    return path.stem if path.suffix in PACKED else path.name


def read_bytes(path: Path) -> bytes:
    """The bytes of a plain, .gz, .xz or .zst file; a `Problem` where it is missing, unreadable or damaged."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            return gzip.decompress(data)
        if path.suffix == ".xz":
            return lzma.decompress(data)
        if path.suffix == ".zst":
            return _unpack_zst(path, data)
        return data
    except OSError as error:  # gzip reports damage as OSError as well
        raise Problem(f"{path}: cannot be read ({error.strerror or error})") from None
    except (EOFError, lzma.LZMAError, zlib.error) as error:
        raise Problem(f"{path}: damaged, unpacking failed ({error})") from None


def _unpack_zst(path: Path, data: bytes) -> bytes:
    if zstandard is None:
        raise Problem(f"{path}: reading .zst needs the package zstandard: pip install 'mnemon[data]'")
    try:
        # Several frames may stand one behind the other, and a frame cut short must not pass as a whole one.
        frames = []
        while data:
            unpacker = zstandard.ZstdDecompressor().decompressobj()
            frames.append(unpacker.decompress(data))
            if not unpacker.eof:
                raise Problem(f"{path}: damaged, the last frame is incomplete")
            data = unpacker.unused_data
        return b"".join(frames)
    except zstandard.ZstdError as error:
        raise Problem(f"{path}: damaged, unpacking failed ({error})") from None


def decoded(data: bytes, where: object, strict: bool, skipped: Counter[str]) -> str | None:
    """`data` as text; None, counted in `skipped`, where it is binary or not UTF-8 (a `Problem` if `strict`)."""
    reason = ""
    if b"\0" in data:
        reason = "binary"
    else:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            reason, at = "not UTF-8", error.start
    if strict:
        detail = f" (byte {at})" if reason == "not UTF-8" else ""
        raise Problem(f"{where}: {reason}{detail}; convert it to UTF-8 text, or read without --strict to skip it")
    skipped[reason] += 1
    return None


def decoded_strictly(data: bytes, where: object) -> str:
    """`data` as text; a `Problem` where it is binary or not UTF-8."""
    text = decoded(data, where, strict=True, skipped=Counter())
    assert text is not None
    return text


def read_text(path: Path, strict: bool, skipped: Counter[str]) -> str | None:
    """The text of a plain or packed file, or None where it was skipped; see `decoded`."""
    return decoded(read_bytes(path), path, strict, skipped)
