"""Facts and figures as one page of HTML, or as Markdown. What comes from clients is escaped wherever it is put."""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from service.report import wording
from service.report.account import what_was_run
from service.report.facts import Facts
from service.report.tables import LARGEST, flagged_classes

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# Nothing is fetched, run or sent; the style is this one. A saved page keeps it, so it stands in the page too.
POLICY = f"default-src 'none'; img-src data:; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
_SECTIONS = {
    "limits": "What this job cannot see",
    "read": "How to read this",
    "run": "What was run",
    "mislabeled": "Labels that look wrong",
    "classes": "Which labels are confused",
    "anomalous": "Samples that look strange",
    "groups": "Groups that stand apart",
    "reviews": "What people decided",
    "planted": "How well planted errors were found",
    "signals": "How the signals agree",
}
_CLASSES, _PAIRS = 30, 20  # rows of tables
_QUOTED = re.compile(r"`([^`]+)`")
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$]|:(?=//))")


def html(facts: Facts, figures: Mapping[str, str]) -> str:
    """The page; `figures` are `svg` elements by name, as service.report.figures draws them."""
    drawn = {name: Markup(svg) for name, svg in figures.items()}  # noqa: S704 - made by us, its text escaped
    style = Markup(_STYLE)  # noqa: S704 - a file of ours
    page = _HTML.get_template("report.html.j2")
    return page.render(_told(facts), figures=drawn, style=style, policy=POLICY, largest=LARGEST)


def markdown(facts: Facts) -> str:
    """The same in tables, without figures."""
    return _MARKDOWN.get_template("report.md.j2").render(_told(facts))


def _told(facts: Facts) -> dict[str, Any]:
    reviewed = facts.reviewed
    bands = {
        f"ranks {one.first:,} to {one.last:,}" if one.last else f"ranks from {one.first:,}": one
        for one in reviewed.bands
    }
    named = {"all that is flagged": reviewed.precision, **reviewed.by_verdict, **bands}
    absent = {name for name in ("groups", "planted") if not getattr(facts, name)}
    absent |= set() if facts.anomalous.entries else {"anomalous"}
    return {
        "facts": facts,
        "sections": {name: title for name, title in _SECTIONS.items() if name not in absent},
        "verdicts": wording.verdicts(facts),
        "cards": wording.cards(facts),
        "reading": wording.reading(facts),
        "account": what_was_run(facts),
        "classes": flagged_classes(facts, _CLASSES),
        "pairs": facts.confusions[:_PAIRS],
        "precisions": [(name, found) for name, found in named.items() if found.decided],
    }


def _escaped(value: object) -> Markup:
    """A value as Markdown that shows it as it is, on one line."""
    if isinstance(value, Markup):
        return value  # what a macro wrote
    return Markup(_SPECIAL.sub(r"\\\1", " ".join(str(value).split())))  # noqa: S704 - Markdown, not HTML


def _code(text: str) -> Markup:
    """What stands in backticks, as HTML shows code."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _environment(**options: Any) -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,  # a running service keeps to its own version
        **options,
    )
    for name in ("many", "share", "number", "planted", "review"):
        made.filters[name] = getattr(wording, name)
    return made


_HTML = _environment()
_HTML.filters["code"] = _code
_MARKDOWN = _environment(finalize=_escaped)
