"""Tables of the documentation that the code decides: `python -m docs.scripts.tables` writes them into the pages.

A table, or a text, stands between `<!-- table: NAME -->` and `<!-- end -->`. The tests fail where a page holds another one.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import typer

from service.domain.exports import EXPORT_FORMATS
from service.domain.issue import ISSUES
from service.domain.models import AUTO, FROM_SCRATCH, MODELS
from service.domain.signal import NOTATION, SIGNALS
from service.settings import Settings
from service.terminal.cli import app as command_line
from service.terminal.tools.verbs import LEFT_OUT, VERBS

DOCS = Path(__file__).parents[1]
_TABLE = re.compile(r"(?P<open><!-- table: (?P<name>\w+) -->\n)(?P<body>.*?)(?P<close><!-- end -->)", re.DOTALL)


def signals() -> str:
    """What a high value of each signal means."""
    rows = (
        [f"`{one.name}`", one.title, one.high, ", ".join(need.replace("_", " ") for need in one.needs) or "nothing"]
        for one in SIGNALS.values()
    )
    return _table(["signal", "title", "a high value means", "needs"], rows)


def formulas() -> str:
    """How each signal is computed."""
    return _table(
        ["signal", "formula", "source"], ([f"`{one.name}`", _code(one.formula), one.source] for one in SIGNALS.values())
    )


def issues() -> str:
    """What can be wrong beside labels."""
    return _table(["type", "title", "score"], ([f"`{name}`", one.title, one.score] for name, one in ISSUES.items()))


def notation() -> str:
    """The letters of the formulas."""
    return f"{_literal(NOTATION)}\n"


def models() -> str:
    """What may be trained."""
    automatic = {name: f"{kind} data" for kind, name in AUTO.items()}
    automatic |= {AUTO[kind]: f"{kind} data, where a network is at hand" for kind in FROM_SCRATCH}
    automatic |= {name: f"{kind} data otherwise" for kind, name in FROM_SCRATCH.items()}
    automatic[FROM_SCRATCH["image"]] = "small greyscale images, and image data otherwise"
    rows = (
        [f"`{one.name}`", one.title, one.modality, one.cost, automatic.get(one.name, "")] for one in MODELS.values()
    )
    return _table(["model", "title", "data", "cost", "`auto` for"], rows)


def exports() -> str:
    """The formats of whole rankings."""
    rows = (
        [f"`{one.name}`", one.title, one.summary, ", ".join(one.modalities or ["any"])]
        for one in EXPORT_FORMATS.values()
    )
    return _table(["`format`", "title", "what it is", "data"], rows)


def commands() -> str:
    """The commands of the command line."""
    group = typer.main.get_command(command_line)
    rows = ([f"`suspects {name}`", _first_sentence(command.help or "")] for name, command in named_commands(group))
    return _table(["command", "what it does"], rows)


def named_commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of a group, with its name: those of groups in it, too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from named_commands(command, f"{before}{name} ")
        else:
            yield before + name, command


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".").replace("|", "&#124;")


def tools() -> str:
    """The tools of agents."""
    rows = (
        [f"`{one.name}`", _first_sentence(one.description), f"`suspects {one.command}`" if one.command else ""]
        for one in VERBS
    )
    return _table(["tool", "what it does", "command"], rows)


def commands_without_tools() -> str:
    """The commands that no tool does, and why."""
    return _table(["command", "why"], ([f"`suspects {name}`", reason] for name, reason in LEFT_OUT.items()))


def settings() -> str:
    """What an installation may set."""
    rows = (
        [f"`SUSPECTS_{name.upper()}`", _default(field.get_default()), field.description or ""]
        for name, field in Settings.model_fields.items()
    )
    return _table(["setting", "default", "meaning"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "signals": signals,
    "formulas": formulas,
    "notation": notation,
    "issues": issues,
    "models": models,
    "exports": exports,
    "commands": commands,
    "tools": tools,
    "commands_without_tools": commands_without_tools,
    "settings": settings,
}


def filled(text: str) -> str:
    """A page with its tables as they are now. Raises KeyError for a name that is not known."""
    return _TABLE.sub(lambda found: f"{found['open']}\n{TABLES[found['name']]()}\n{found['close']}", text)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _code(formula: str) -> str:
    return f"<code>{_literal(formula)}</code>"


def _literal(text: str) -> str:
    # A bar would end a cell, in backticks as well.
    return escape(text, quote=False).replace("|", "&#124;").replace("*", "&#42;")


def _default(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() if value >= 2**20:
            return f"{value / 2**30:g} GiB"
        case int() | float() | Path() | str() if str(value):
            return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
        case tuple() if value:
            return f"`{','.join(map(str, value))}`"
        case _:
            return ""


def main() -> None:
    """Write every page anew that holds a table."""
    for page in DOCS.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        if filled(text) != text:
            page.write_text(filled(text), encoding="utf-8")


if __name__ == "__main__":
    main()
