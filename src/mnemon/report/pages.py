from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from mnemon.report import wording


def environment() -> Environment:
    """Where the templates of all pages are found, with the filters they share; every value is escaped."""
    pages = Environment(
        loader=PackageLoader("mnemon.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for words in (wording.count, wording.decimal, wording.signed, wording.percent):
        pages.filters[words.__name__] = words
    pages.filters["breakable"] = _breakable
    return pages


def _breakable(name: str) -> Markup:
    """A dotted name that may go on in the next line after a dot or an underscore."""
    return escape(name).replace(".", Markup(".<wbr>")).replace("_", Markup("_<wbr>"))
