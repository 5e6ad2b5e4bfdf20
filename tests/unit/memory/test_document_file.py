import hashlib
import json

import pytest
import torch

from memories import document
from mnemon.memory.document_file import NAMES, serialised

SIZES = {name: dtype.itemsize for dtype, name in NAMES.items()}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("n", [0, 1, 7, 64])
def test_a_document_knows_its_digest_and_every_tensor_stands_aligned(n: int, precision: str) -> None:
    parts, digest = serialised(document("one", n), precision)
    raw = b"".join(bytes(part) for part in parts)
    assert hashlib.sha256(raw).hexdigest() == digest
    start = 8 + int.from_bytes(raw[:8], "little")
    assert start % 64 == 0
    header = json.loads(raw[8:start])
    del header["__metadata__"]
    for name, of in header.items():
        begin, end = of["data_offsets"]
        assert begin % SIZES[of["dtype"]] == 0
        assert begin % 64 == 0 or (end - begin) % 64, name
    assert start + max(of["data_offsets"][1] for of in header.values()) == len(raw)


def test_tensors_that_lie_anyhow_in_memory_are_written_as_they_read() -> None:
    plain, odd = document("one"), document("one")
    for layer, x in plain.keys.items():
        odd.keys[layer].set_(x.mT.contiguous().mT)  # type: ignore[attr-defined]
    assert not odd.keys[3].is_contiguous()
    assert serialised(plain, "float32")[1] == serialised(odd, "float32")[1]
    assert torch.equal(odd.keys[3], plain.keys[3])
