from mnemon.data.document import Corpus
from mnemon.data.named import Check, Named
from mnemon.data.stream import read_stream, stream_checks
from mnemon.data.web import downloaded

NAME = "text8"
URL = "http://mattmahoney.net/dc/text8.zip"
MD5 = "3bea1919949baf155f99411df5fada7e"


def checks(corpus: Corpus) -> list[Check]:
    """Those of a stream, and that it is made of the letters a to z and the space; `<eos>` is the 28th symbol."""
    symbols = "".join(sorted(set().union(*(document.text for document in corpus.documents))))
    return [*stream_checks(corpus, MD5), Check("symbols", symbols, " abcdefghijklmnopqrstuvwxyz")]


TEXT8 = Named(
    name=NAME,
    about="100,000,000 letters and spaces of English Wikipedia text of 2006; 90, 5 and 5 million of them",
    licence="CC-BY-SA-3.0 and GFDL-1.2-or-later",
    origin=URL,
    read=lambda place, options: read_stream(NAME, place),
    fetch=lambda options: read_stream(NAME, downloaded(NAME, URL, options.cache)),
    checks=checks,
)
