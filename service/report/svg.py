"""What matplotlib writes, made part of a page: no style sheet, no address, and the colour of the text around it."""

import re
from collections.abc import Iterator

from defusedxml.ElementTree import fromstring, tostring

_REFERENCE = re.compile(r"#([\w-]+)")
_LONG = re.compile(r"-?\d+\.\d{3,}")
_DROPPED = ("id", "font-family")  # ids that nothing refers to; the page has its own font
_PLACES = ("d", "x", "y", "width", "height", "transform")


def inline(drawn: str, ink: str, told: str) -> str:
    """An `svg` element for HTML, described as `told`; what is drawn in `ink` takes the colour of the page's text.

    Declarations of styles become attributes, which no content security policy has to allow.
    """
    root = fromstring(drawn)
    for element in root.iter():
        for child in [one for one in element if one.tag.endswith(("}style", "}metadata"))]:
            element.remove(child)
    used = {name for element in root.iter() for key, name in _references(element.attrib)}
    for element in root.iter():
        element.tag = _bare(element.tag)
        element.attrib = {
            name: "currentColor" if value == ink else value
            for name, value in _attributes(element.attrib)
            if name not in _DROPPED or (name == "id" and value in used)
        }
    box = root.attrib["viewBox"]
    _, _, width, height = box.split()
    root.attrib = {"viewBox": box, "width": width, "height": height, "role": "img", "aria-label": told}
    root.attrib |= {"fill": "currentColor", "stroke-linejoin": "round", "stroke-linecap": "butt"}
    return str(tostring(root, encoding="unicode"))


def _references(attributes: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in attributes.items():
        if _bare(name) in ("href", "clip-path"):
            yield from ((name, found) for found in _REFERENCE.findall(value))


def _attributes(attributes: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in attributes.items():
        if name == "style":
            for declaration in value.split(";"):
                declared, _, said = declaration.partition(":")
                yield declared.strip(), said.strip()
        elif name in _PLACES:
            # A hundredth of a pixel is enough.
            yield name, " ".join(_LONG.sub(lambda found: f"{float(found[0]):.2f}", value).split())
        else:
            yield _bare(name), value


def _bare(name: str) -> str:
    return name.rpartition("}")[2]
