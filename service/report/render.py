"""Writes facts and figures as one page of HTML, or as Markdown. Text from clients is escaped everywhere."""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from service.report import wording
from service.report.account import describe_job
from service.report.facts import Facts
from service.report.tables import LARGEST, flagged_classes

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# The page fetches, runs and sends nothing, and has this style only. The policy is in the page too, for a saved page.
POLICY = f"default-src 'none'; img-src data:; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
_SECTIONS = {
    "limits": "Limits of this job",
    "read": "How to read this report",
    "run": "Settings of the job",
    "mislabeled": "Labels that look wrong",
    "classes": "Confused labels",
    "anomalous": "Anomalous samples",
    "groups": "Groups within a label",
    "reviews": "Reviews",
    "planted": "Detection of planted glitches",
    "signals": "Signals",
}
_CLASSES, _PAIRS = 30, 20  # rows in tables
_QUOTED = re.compile(r"`([^`]+)`")
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$]|:(?=//))")


def html(facts: Facts, figures: Mapping[str, str]) -> str:
    """The page. `figures` are `svg` elements by name, from service.report.figures."""
    marked = {name: Markup(svg) for name, svg in figures.items()}  # noqa: S704 - made by us, its text escaped
    style = Markup(_STYLE)  # noqa: S704 - a file of ours
    page = _HTML.get_template("report.html.j2")
    return page.render(_context(facts), figures=marked, style=style, policy=POLICY, largest=LARGEST)


def markdown(facts: Facts) -> str:
    """The same as Markdown tables, without figures."""
    return _MARKDOWN.get_template("report.md.j2").render(_context(facts))


def _context(facts: Facts) -> dict[str, Any]:
    reviewed = facts.reviewed
    bands = {
        f"ranks {one.first:,} to {one.last:,}" if one.last else f"ranks from {one.first:,}": one
        for one in reviewed.bands
    }
    shares = {"all flagged samples": reviewed.precision, **reviewed.by_verdict, **bands}
    absent = {name for name in ("groups", "planted") if not getattr(facts, name)}
    absent |= set() if facts.anomalous.entries else {"anomalous"}
    return {
        "facts": facts,
        "sections": {name: title for name, title in _SECTIONS.items() if name not in absent},
        "findings": wording.findings(facts),
        "cards": wording.cards(facts),
        "how_to_read": wording.how_to_read(facts),
        "account": describe_job(facts),
        "classes": flagged_classes(facts, _CLASSES),
        "pairs": facts.confusions[:_PAIRS],
        "precisions": [(name, found) for name, found in shares.items() if found.decided],
    }


def _escaped(value: object) -> Markup:
    """A value escaped for Markdown, on one line."""
    if isinstance(value, Markup):
        return value  # the output of a macro
    return Markup(_SPECIAL.sub(r"\\\1", " ".join(str(value).split())))  # noqa: S704 - Markdown, not HTML


def _code(text: str) -> Markup:
    """Text with its parts in backticks as HTML code elements."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _environment(**options: Any) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,  # a running service keeps its version of the templates
        **options,
    )
    for name in ("many", "share", "number", "planted", "review"):
        environment.filters[name] = getattr(wording, name)
    return environment


_HTML = _environment()
_HTML.filters["code"] = _code
_MARKDOWN = _environment(finalize=_escaped)
