"""Sections of a file of results, each written by the part of a benchmark that measured it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

_START = "\n## "


def write_sections(path: Path, title: str, sections: Mapping[str, Sequence[str]]) -> str:
    """Write these sections, lines by heading, in place of those with the same headings; others stay, and new ones come last.

    Gives the whole text. What stands between the title and the first section stays, too.
    """
    known = path.read_text() if path.exists() else f"# {title}\n"
    head, *parts = known.rstrip().split(_START)
    bodies = dict(part.partition("\n")[::2] for part in parts)
    bodies = {heading: body.strip("\n") for heading, body in bodies.items()}
    bodies |= {heading: "\n".join(lines) for heading, lines in sections.items()}
    _, _, below = head.partition("\n")
    text = f"# {title}\n{below}".rstrip() + "\n"
    text += "".join(f"{_START}{heading}\n\n{body}\n" for heading, body in bodies.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return text
