"""Writes facts and figures as one page of HTML, or as Markdown. Text from clients is escaped everywhere."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from service.domain.precision import ReviewedShare
from service.report import summary, wording
from service.report.account import describe_job
from service.report.facts import Facts
from service.report.svg import bar
from service.report.tables import LARGEST, flagged_classes, suspicious_classes, suspicious_pairs
from service.store.tallies import ClassTally

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# The page fetches, runs and sends nothing, and has this style only. The policy is in the page too, for a saved page.
POLICY = f"default-src 'none'; img-src data:; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
# Nothing in it runs, is fetched or leads elsewhere, and it is no page of this service to scripts.
PAGE_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",  # reviews change it
    "Vary": "Accept",
}
_PANELS = {
    "more": "More labels to check",
    "unlike": "Samples unlike their class",
    "groups": "Groups that stand apart",
    "problems": "Other problems of the data",
    "classes": "All classes and confusions",
    "reviews": "Reviews in detail",
    "planted": "Planted errors",
    "signals": "Signals",
    "run": "Settings of the job",
    "limits": "Notes and limits",
    "read": "How to read this report",
}
_CLASSES, _PAIRS = 30, 20  # rows in the tables of a panel
_FEW = 7  # classes and pairs in the summary
_QUOTED = re.compile(r"`([^`]+)`")
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$]|:(?=//))")


def html(facts: Facts, figures: Mapping[str, str]) -> str:
    """The page. `figures` are `svg` elements by name, from service.report.figures."""
    marked = {name: Markup(svg) for name, svg in figures.items()}  # noqa: S704 - made by us, its text escaped
    return page("report.html.j2", **_context(facts), figures=marked)


def page(template: str, **values: Any) -> str:
    """A page of this template, in the style of the report."""
    style = Markup(_STYLE)  # noqa: S704 - a file of ours
    return _HTML.get_template(template).render(**values, style=style, policy=POLICY)


def markdown(facts: Facts) -> str:
    """The same as Markdown tables, without figures."""
    return _MARKDOWN.get_template("report.md.j2").render(_context(facts))


def _context(facts: Facts) -> dict[str, Any]:
    classes = flagged_classes(facts, _CLASSES)
    return {
        "facts": facts,
        "panels": _panels(facts),
        "answer": summary.answer(facts),
        "numbers": summary.main_figures(facts),
        "notices": summary.notices(facts),
        "first_notices": summary.first_notices(facts),
        "steps": summary.steps(facts),
        "decided": summary.decided(facts.reviewed),
        "anomaly_note": summary.anomaly_note(facts),
        "how_to_read": wording.how_to_read(facts),
        "account": describe_job(facts),
        "classes": classes,
        "health": _health(facts, classes),
        "confused": (facts.confusions or suspicious_pairs(facts))[:_FEW],
        "largest": LARGEST,
        "pairs": facts.confusions[:_PAIRS],
        "outcomes": _outcomes(facts),
        "precisions": _precisions(facts),
    }


def _health(facts: Facts, flagged: Sequence[ClassTally]) -> list[tuple[str, int, float]]:
    """Classes of the summary: name, samples and share that is flagged; where nothing is, that of the most suspicious."""
    found = [(one.label, one.samples, one.flagged / one.samples) for one in flagged]
    return (found or suspicious_classes(facts))[:_FEW]


def _panels(facts: Facts) -> dict[str, str]:
    """The titles of the panels that have something to show."""
    shown = {
        "more": facts.mislabeled.rest,
        "unlike": facts.anomalous.rest,
        "groups": facts.groups,
        "problems": facts.problems,
        "reviews": facts.reviewed.samples,
        "planted": facts.planted,
        "signals": facts.signals,
    }
    return {name: title for name, title in _PANELS.items() if shown.get(name, True)}


def _outcomes(facts: Facts) -> list[tuple[str, int, int, float]]:
    """What people decided: in words, of how many samples, of how many flagged ones, and the share of all reviews."""
    counts, reviews = facts.reviewed.outcomes, max(facts.reviewed.samples, 1)
    return [
        (wording.OUTCOMES[one], every, flagged, every / reviews) for one, (every, flagged) in counts.items() if every
    ]


def _precisions(facts: Facts) -> list[tuple[str, ReviewedShare]]:
    """The share of wrong samples among those that people decided: of all, of all flagged, by verdict, and by rank."""
    reviewed = facts.reviewed
    bands = {
        f"places {one.first:,} to {one.last:,}" if one.last else f"places from {one.first:,}": one
        for one in reviewed.bands
    }
    verdicts = {wording.VERDICTS[verdict]: found for verdict, found in reviewed.by_verdict.items()}
    shares = {"all samples": reviewed.every, "all flagged samples": reviewed.flagged, **verdicts, **bands}
    return [(name, found) for name, found in shares.items() if found.decided]


def _escaped(value: object) -> Markup:
    """A value escaped for Markdown, on one line."""
    if isinstance(value, Markup):
        return value  # the output of a macro
    return Markup(_SPECIAL.sub(r"\\\1", " ".join(str(value).split())))  # noqa: S704 - Markdown, not HTML


def _code(text: str) -> Markup:
    """Text with its parts in backticks as HTML code elements."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _bar(value: float) -> Markup:
    return Markup(bar(value))  # noqa: S704 - made by us, of a number


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
    for name in ("many", "share", "sure", "number", "planted", "review", "date", "counted_rows", "counted_classes"):
        environment.filters[name] = getattr(wording, name)
    environment.filters |= {"in_brief": summary.in_brief, "verdict": wording.VERDICTS.__getitem__}
    return environment


_HTML = _environment()
_HTML.filters |= {"code": _code, "bar": _bar}
_MARKDOWN = _environment(finalize=_escaped)
