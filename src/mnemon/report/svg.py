import re
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
REFERENCE = re.compile(r"(^|url\()#([\w.-]+)")
FONT = re.compile(r"font-family: [^;]*(; )?")


def inline(svg: str, name: str, label: str, colours: dict[str, str]) -> str:
    """A stand-alone SVG made part of an HTML page, with `label` as its text alternative.

    Namespaces, metadata, style sheets and font names go. Ids that something refers to get the prefix `name`, so that
    figures share a page; other ids go. The colours that are keys of `colours` become its values (CSS variables), so
    that the figure follows the theme of the page.
    """
    root = ElementTree.fromstring(svg)
    _drop(root, {f"{SVG}metadata", f"{SVG}style"})
    used = {match[1] for element in root.iter() for value in element.attrib.values() for match in _references(value)}
    swap = re.compile("|".join(re.escape(colour) for colour in colours))
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        kept = {key: value for key, value in element.attrib.items() if key != "id" or value in used}
        element.attrib.clear()
        for key, value in kept.items():
            if key == "id":
                value = f"{name}-{value}"
            if key == "style":
                value = swap.sub(lambda match: colours[match.group()], FONT.sub("", value))
            element.set("href" if key == LINK else key, REFERENCE.sub(rf"\1#{name}-\2", value))
    attributes = {"viewBox": root.attrib["viewBox"], "class": "drawing", "role": "img", "aria-label": label}
    root.attrib.clear()
    root.attrib.update(attributes)
    return ElementTree.tostring(root, encoding="unicode")


def _references(value: str) -> list[tuple[str, str]]:
    return REFERENCE.findall(value)


def _drop(element: ElementTree.Element, tags: set[str]) -> None:
    """Remove the descendants of `element` that have one of `tags`."""
    for child in list(element):
        if child.tag in tags:
            element.remove(child)
        else:
            _drop(child, tags)
