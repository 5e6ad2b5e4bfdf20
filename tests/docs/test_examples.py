"""The Python of README and docs, run as a reader would run it: page by page, from top to bottom."""

from pathlib import Path

import pytest
import torch

from doc_pages import blocks, name, pages


@pytest.mark.parametrize("page", [page for page in pages() if blocks(page, "python")], ids=name)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    with torch.random.fork_rng():
        for block in blocks(page, "python"):
            # Empty lines before the code give a traceback the line numbers of the page.
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)
