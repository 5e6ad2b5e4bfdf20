import subprocess
import sys
from typing import Any

import pytest

from mnemon.train import pages
from mnemon.train.pages import keep_pages

# How many pages the system had to bring, for tensors that are made and forgotten.
CODE = """
import resource, sys, torch
from mnemon.train.pages import keep_pages
kept = keep_pages() if sys.argv[1] == "keep" else False
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(1 << 24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is nothing to be kept")
def test_freed_memory_is_used_again() -> None:
    said = [subprocess.check_output([sys.executable, "-c", CODE, how], text=True).split() for how in ("keep", "not")]
    (kept, few), (_, many) = said
    if kept == "False":
        pytest.skip("another C library")
    assert 10 * int(few) < int(many), "64 MiB five times are 80,000 pages, or 160 large ones"


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: Any) -> Any:
        return object()

    monkeypatch.setattr(pages.ctypes, "CDLL", missing)
    assert not keep_pages()
    monkeypatch.setattr(pages.sys, "platform", "darwin")
    assert not keep_pages()
