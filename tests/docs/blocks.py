"""The fenced blocks of the documentation, in order, with what each is and whether it is run."""

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
FOR_AGENTS = ROOT / "service" / "api" / "llms.txt"
PAGES = (README, *sorted(DOCS.glob("*.md")), FOR_AGENTS)

_MARKER = re.compile(r"<!-- not run: (?P<reason>\S.*?) -->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block. `reason` says why it is not run here; None where it is run."""

    page: str
    line: int
    language: str
    code: str
    reason: str | None

    @property
    def where(self) -> str:
        """Page and line, as editors and terminals link them."""
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    found, reason = [], None
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        marker = _MARKER.fullmatch(token.content.strip()) if token.type == "html_block" else None
        if token.type == "fence" and token.map is not None:
            found.append(Block(page.name, token.map[0] + 1, token.info.strip(), token.content, reason))
        reason = marker["reason"] if marker else None
    return found
