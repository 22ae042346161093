"""What a browser makes of a page: elements, attributes, tables, text; and what a reader of Markdown makes of it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from markdown_it import MarkdownIt


@dataclass
class Page(HTMLParser):
    """An HTML page, read. `samples` are the elements that show one: its id, and their text."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    style: str = ""
    tables: list[list[list[str]]] = field(default_factory=list)
    samples: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._inside: list[str] = []
        self._sample = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        self._inside.append(tag)
        sample = dict(attrs).get("data-sample")
        if sample is not None:
            self.samples.append((sample, ""))
            self._sample = len(self._inside)
        match tag:
            case "table":
                self.tables.append([])
            case "tr":
                self.tables[-1].append([])
            case "td" | "th":
                self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an empty element of a drawing."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Leave an element, and what was not closed inside it."""
        while self._inside and self._inside.pop() != tag:
            pass
        if len(self._inside) < self._sample:
            self._sample = 0

    def handle_data(self, data: str) -> None:
        """Note text, in its cell too."""
        if "style" in self._inside:
            self.style += data
            return
        self.text += data
        if self._sample:
            sample, said = self.samples[-1]
            self.samples[-1] = (sample, said + data)
        if {"td", "th"} & set(self._inside):
            self.tables[-1][-1][-1] += data

    def table(self, *heads: str) -> list[dict[str, str]]:
        """The rows of the first table that begins with these heads, by head."""
        found = next(table for table in self.tables if table[0][: len(heads)] == list(heads))
        return [dict(zip(found[0], (" ".join(cell.split()) for cell in row), strict=True)) for row in found[1:]]


def read(html: str) -> Page:
    """A page of HTML."""
    page = Page()
    page.feed(html)
    page.close()
    return page


def read_markdown(text: str) -> Page:
    """Markdown with tables, as an independent reader shows it; raw HTML would show as elements."""
    return read(MarkdownIt("commonmark").enable("table").render(text))
