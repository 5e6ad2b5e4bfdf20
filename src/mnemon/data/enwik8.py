from functools import partial

from mnemon.data.named import Named
from mnemon.data.stream import read_stream, stream_checks
from mnemon.data.web import downloaded

NAME = "enwik8"
# The copy on the Hugging Face hub, LTCB/enwik8, needs a loading script, which the datasets library no longer runs.
URL = "http://mattmahoney.net/dc/enwik8.zip"
MD5 = "a1fa5ffddb56f4953e226637dabbb36a"

ENWIK8 = Named(
    name=NAME,
    about="the first 100,000,000 bytes of an English Wikipedia dump of 2006; 90, 5 and 5 million of them",
    licence="CC-BY-SA-3.0 and GFDL-1.2-or-later",
    origin=URL,
    read=lambda place, options: read_stream(NAME, place),
    fetch=lambda options: read_stream(NAME, downloaded(NAME, URL, options.cache)),
    checks=partial(stream_checks, md5=MD5),
)
