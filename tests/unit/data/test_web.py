import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnemon.config import Problem
from mnemon.data import DataConfig, load_corpus
from mnemon.data.web import downloaded

asked: list[str] = []


class Answers(http.server.BaseHTTPRequestHandler):
    """Gives ten bytes to everyone; of `torn` it sends only six."""

    def do_GET(self) -> None:
        asked.append(self.path)
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"0123456789"[: 6 if self.path == "/torn" else 10])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_file_is_fetched_once(address: str, tmp_path: Path) -> None:
    for _ in range(2):
        place = downloaded("ten", f"{address}/ten.zip", str(tmp_path))
        assert (place.name, place.read_bytes()) == ("ten.zip", b"0123456789")
    assert asked == ["/ten.zip"]


@pytest.mark.parametrize(("path", "said"), [("gone", r"\(Not Found\)"), ("torn", r"\(the last 4 bytes did not come\)")])
def test_what_does_not_come_whole_leaves_nothing(address: str, tmp_path: Path, path: str, said: str) -> None:
    with pytest.raises(Problem, match=rf"ten: cannot be fetched from http.*{path} {said}; see that the network"):
        downloaded("ten", f"{address}/{path}", str(tmp_path))
    assert not [found for found in tmp_path.rglob("*") if found.is_file()]


def test_without_a_network_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        Problem, match=r"ten: cannot be fetched from .*or give a copy of your own: --data ten:PATH"
    ) as e:
        downloaded("ten", "http://127.0.0.1:9/ten.zip", str(tmp_path))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", ["enwik8", "text8"])
def test_a_stream_that_was_fetched_before_is_read_from_the_cache(name: str, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    with zipfile.ZipFile(tmp_path / "downloads" / f"{name}.zip", "w") as archive:
        archive.writestr(name, "a text of the web")
    corpus = load_corpus(name, DataConfig(download=True, partial=True, cache=str(tmp_path)))
    assert "".join(document.text for document in corpus.documents) == "a text of the web"
