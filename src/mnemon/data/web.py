import shutil
import urllib.request
from pathlib import Path

from mnemon.config import Problem, replacing
from mnemon.data.prepared import cache_folder

TIMEOUT = 30  # seconds without an answer


def downloaded(name: str, url: str, cache: str | None) -> Path:
    """The file at an address on the web, kept in the cache folder under its own name and fetched once."""
    place = cache_folder(cache) / "downloads" / url.rpartition("/")[2]
    if place.exists():
        return place
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, replacing(place) as temporary:
            with open(temporary, "wb") as file:
                shutil.copyfileobj(answer, file)
            missing = int(answer.headers.get("Content-Length") or 0) - temporary.stat().st_size
            if missing > 0:
                raise OSError(f"the last {missing:,} bytes did not come")
    except OSError as error:  # what urllib raises is one, too
        raise Problem(
            f"{name}: cannot be fetched from {url} ({getattr(error, 'reason', error)}); see that the network is there, "
            f"or give a copy of your own: --data {name}:PATH"
        ) from None
    return place
