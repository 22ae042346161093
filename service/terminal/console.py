"""Output of the command line, in two renderings: for a person at a terminal, and for a program.

A person gets tables that fit the width, and colour. A program gets rows with a header, between tabs: no colour, no boxes,
nothing cut. Which of them, each stream decides by itself. Errors, warnings and progress go to stderr.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from usual_suspects.client import ApiError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ESCAPED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def _console(stream: TextIO | None, *, stderr: bool) -> Console:
    # FORCE_COLOR, which many build machines set, would write colours into files and pipes.
    return Console(stderr=stderr, highlight=False, force_terminal=stream is not None and stream.isatty())


console = _console(sys.stdout, stderr=False)
errors = _console(sys.stderr, stderr=True)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class OutputColumn:
    """A column of rows. `value` is a dotted path or a function of the row; `shown` is the same in short, for a person.

    `name` is its header for a program, the title with underscores where it is empty. A column that is `kept` is never cut.
    """

    title: str
    value: str | Callable[[Row], Any]
    name: str = ""
    shown: Callable[[Row], str | Text] | None = None
    kept: bool = False
    right: bool = False

    @property
    def header(self) -> str:
        """Its header for a program."""
        return self.name or self.title.replace(" ", "_")

    def of(self, row: Row) -> Any:
        """Its value in a row; None where the row has none."""
        return self.value(row) if callable(self.value) else at(row, self.value)

    def cell(self, row: Row) -> Text:
        """Its value for a person."""
        return _text(_short(self.of(row)) if self.shown is None else self.shown(row))


@dataclass(frozen=True)
class Printer:
    """Prints the answer of a command: as JSON, as ids alone, or as rows for whoever reads them."""

    as_json: bool = False
    quiet: bool = False

    def rows(
        self, answer: Any, items: Iterable[Row], columns: Sequence[OutputColumn], *, name: str = "id", title: str = ""
    ) -> None:
        """Print items of an answer; `name` is the path of their id."""
        if self.as_json:
            console.print_json(data=answer)
        elif self.quiet:
            for item in items:
                write(escaped(str(at(item, name))))
        elif console.is_terminal:
            console.print(_table(items, columns, title))
        else:
            write("\t".join(column.header for column in columns))
            for item in items:
                write("\t".join(_whole(column.of(item)) for column in columns))

    def line(self, answer: Any, name: str, text: str) -> None:
        """Print an answer in one line; `name` is the id alone."""
        if self.as_json:
            console.print_json(data=answer)
        elif self.quiet:
            write(escaped(name))
        elif console.is_terminal:
            console.print(_text(text), soft_wrap=True)
        else:
            write(escaped(text))

    def note(self, text: str | Text) -> None:
        """Print a sentence for a person; programs have the fields of the answer."""
        if console.is_terminal and not self.as_json and not self.quiet:
            console.print(_text(text), soft_wrap=True)


def write(line: str) -> None:
    """Write a line to stdout as it is. rich would turn its tabs into spaces."""
    console.file.write(f"{line}\n")


def escaped(text: str) -> str:
    """The text in one line, without control characters: those of data could colour, move or clear a terminal."""
    return _CONTROL.sub(lambda found: _ESCAPED.get(found[0], f"\\x{ord(found[0]):02x}"), text)


def at(row: Any, path: str) -> Any:
    """What stands at a dotted path of a JSON object; None where there is nothing."""
    for part in path.split("."):
        row = row.get(part) if isinstance(row, Mapping) else None
    return row


def show_error(title: str, detail: str, faults: Iterable[Row] = ()) -> None:
    """Print an error to stderr, with the fields that are not valid."""
    lines = problem_lines(detail, faults)
    if errors.is_terminal:
        body = Text("\n".join(line for text in lines for line in _lines(text)))
        errors.print(Panel(body, title=_text(title), border_style="red", title_align="left"))
        return
    errors.file.write(f"error: {escaped(title)}\n")
    errors.file.writelines(f"  {line}\n" for text in lines for line in _lines(text))


def problem_lines(detail: str, faults: Iterable[Row] = ()) -> list[str]:
    """What is wrong: the detail, then each field that is not valid. The detail of most answers repeats these, and each is said once."""
    found = list(faults)
    lines = [f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in found]
    repeated = bool(found) and all(str(fault["msg"]) in detail for fault in found)
    return lines if repeated else [detail, *lines]


def show_api_error(error: ApiError) -> None:
    """Print a problem that the API reported, or why it cannot be reached."""
    show_error(error.title, error.detail, error.errors)


def show_warning(text: str) -> None:
    """Print a warning to stderr."""
    errors.print(Text(escaped(text), "yellow"), soft_wrap=True)


def _lines(text: str) -> list[str]:
    return [escaped(line) for line in text.splitlines()]


def _table(items: Iterable[Row], columns: Sequence[OutputColumn], title: str) -> Table:
    table = Table(title=_text(title) if title else None, title_justify="left")
    for column in columns:
        # An id that is cut off cannot be used.
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            overflow="fold" if column.kept else "ellipsis",
            no_wrap=column.kept,
        )
    for item in items:
        table.add_row(*(column.cell(item) for column in columns))
    return table


def _text(value: str | Text) -> Text:
    """Values of data as `Text`, so that rich does not read brackets in a label as markup."""
    return value if isinstance(value, Text) else Text(escaped(value))


def _short(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else ""
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)


def _whole(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list() | tuple():
            return escaped(",".join(map(str, value)))
        case _:
            return escaped(str(value))
