"""Columns of the lists of samples and signals."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.text import Text

from service.domain.verdict import verdict_words
from service.terminal.console import OutputColumn, escaped


def _planted(row: Mapping[str, Any]) -> Text:
    glitch = row["planted"]
    if glitch is None:
        return Text("no", "dim")
    relabeled = glitch["kind"].startswith("mislabeled")
    said = f"yes, was {glitch['original_label']}" if relabeled else f"yes, {glitch['kind']}"
    return Text(escaped(said), "green")


def _suggestion(row: Mapping[str, Any]) -> str:
    return f"{row['suggested_label']} ({row['suggested_confidence']:.0%})"


_SUGGESTED = OutputColumn("suggested label", "suggested_label")
_SUGGESTED_SURELY = replace(_SUGGESTED, shown=_suggestion)
_SAMPLE = OutputColumn("sample", "sample.id", "sample_id", kept=True)
_GIVEN = OutputColumn("given label", "given_label")
_RANKED = (
    OutputColumn("rank", "rank", right=True),
    _SAMPLE,
    _GIVEN,
    _SUGGESTED,
    OutputColumn("score", "score", right=True, shown=lambda row: f"{row['score']:.3f}"),
    OutputColumn("verdict", "verdict", shown=lambda row: verdict_words(row["verdict"])),
)
_PLANTED = OutputColumn("planted", "planted.original_label", "planted_label", shown=_planted)
_DECIDED = OutputColumn("review", "review.decision", "decision")
# One column for a person is two for a program.
_CONFIDENCE = OutputColumn("confidence", "suggested_confidence", "suggested_confidence", right=True)


def suspect_columns(answer: Mapping[str, Any], *, person: bool) -> list[OutputColumn]:
    """Columns of a page of a ranking; for a person those alone in which something stands, and no confidence that is only an order."""
    items, columns = answer["items"], list(_RANKED)
    if not person:
        columns.insert(4, _CONFIDENCE)
    elif answer["confidence"] == "probability":
        columns[3] = _SUGGESTED_SURELY
    if not person or any(item["review"] for item in items):
        columns.append(_DECIDED)
    if not person or any(item["planted"] for item in items):
        columns.append(_PLANTED)
    return columns


def proposal_columns(*, person: bool) -> list[OutputColumn]:
    """Columns of samples that are to be looked at: how sure the job is would sway who judges them, and is for programs alone."""
    return [_SAMPLE, _GIVEN, _SUGGESTED, *([] if person else [_CONFIDENCE])]


def _leaning(row: Mapping[str, Any]) -> str:
    if "leans_to" not in row:
        return ""
    return "its own label" if row["leans_to"] is None else f"{row['leans_to']} ({row['lean']:.0%})"


def _first(row: Mapping[str, Any]) -> str:
    return ", ".join(row["sample_ids"][:_TYPICAL])


_TYPICAL = 5
_LEAN = OutputColumn("lean", "lean", right=True)


def part_columns(*, person: bool) -> list[OutputColumn]:
    """Columns of the two parts of labels."""
    return [
        OutputColumn("label", "label"),
        OutputColumn("part", "part"),
        OutputColumn("size", "size", right=True),
        OutputColumn("leans to", "leans_to", shown=_leaning),
        *([] if person else [_LEAN, OutputColumn("separation", "separation", right=True)]),
        OutputColumn("gap", "gap", right=True),
        OutputColumn("most typical samples", "sample_ids", "sample_ids", shown=_first),
    ]


def _shares(row: Mapping[str, Any]) -> str:
    found, others = row["doubted_share"], row["others_share"]
    if found is None:
        return ""
    beside = "" if others is None else f", others {others:.1%}"
    return f"{found['share']:.1%} ({found['low']:.1%} to {found['high']:.1%}){beside}"


def _agreement(row: Mapping[str, Any]) -> str:
    found = row["agreement"]
    return "" if found is None else f"{found['share']:.1%} of {found['samples']}"


def annotator_columns(*, person: bool) -> list[OutputColumn]:
    """Columns of the people who gave labels."""
    shares = ("share", "low", "high")
    return [
        OutputColumn(
            "annotator",
            "annotator",
            kept=True,
            shown=lambda row: Text(escaped(row["annotator"]), "bold" if row["stands_out"] else ""),
        ),
        OutputColumn("labelled", "labelled", right=True),
        OutputColumn("doubted", "doubted", right=True),
        *(
            [OutputColumn("share doubted", "doubted_share.share", shown=_shares)]
            if person
            else [OutputColumn(name, f"doubted_share.{name}", f"doubted_{name}") for name in shares]
        ),
        *([] if person else [OutputColumn("others' share", "others_share", "others_share")]),
        OutputColumn("chance", "chance", shown=lambda row: "" if row["chance"] is None else f"{row['chance']:.2g}"),
        *([] if person else [OutputColumn("stands out", "stands_out")]),
        OutputColumn("reviewed", "reviewed", right=True),
        OutputColumn("wrong", "wrong", right=True),
        OutputColumn("agrees", "agreement.share", "agreement", shown=_agreement),
    ]


def _score(name: str) -> OutputColumn:
    def shown(row: Mapping[str, Any]) -> str:
        value = row["detection"][name]
        return "" if value is None else f"{value:.3f}"

    return OutputColumn(_TITLES[name], f"detection.{name}", name, right=True, shown=shown)


_TITLES = {"precision": "precision", "average_precision": "average precision", "auroc": "AUROC"}
DETECTION = (
    OutputColumn("signal", "name", kept=True, shown=lambda row: Text(row["name"], "bold" if row["headline"] else "")),
    OutputColumn("what it is", "title", "title"),
    *(_score(name) for name in _TITLES),
)


def detected(signals: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The signals that were measured with planted errors, the best first."""
    found = [signal for signal in signals if signal.get("detection")]
    return sorted(found, key=lambda signal: -(signal["detection"]["precision"] or 0))
