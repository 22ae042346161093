"""The summary of a report: how many labels look wrong, the main numbers, what to know before, and how to go on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.estimate import FIRST_VERIFIED, TRUSTED_ROWS
from service.report.facts import Facts, Reviewed
from service.report.wording import counted_rows, many, share

_STATUS = {"measured": "Measured", "rough": "Rough estimate", "unknown": "Cannot tell"}
_NOTICES = 3
_NO_FEATURES = "no_features"
_NOT_COUNTED = {"no_trusted_reference", "small_trusted_reference"}
_ROUGH = "rough_estimate"
_CURE = f"Verify samples that the job proposes: by {TRUSTED_ROWS} verified samples a new run can tell the number."
# What samples are verified for, by the warning that says so. A rough estimate says in its own words how many tell the number.
_VERIFY = {
    "no_trusted_reference": "Verify {count} samples to improve the ranking.",
    "small_trusted_reference": "Verify {count} more samples to have those judged that look unlike their class.",
    _ROUGH: "",
}
_ASIDE = re.compile(r"(?<!\s)\s*+\([^()]*+\)")
_ROUTES = ("GET /", "POST /")


@dataclass(frozen=True)
class Headline:
    """How many labels look wrong, in words. `cure` is empty when the number is known, and where `detail` says what helps."""

    status: str
    headline: str
    detail: str
    cure: str

    @property
    def adds_status(self) -> bool:
        """Whether the headline does not say the status itself."""
        return not self.headline.startswith(self.status)


@dataclass(frozen=True)
class Figure:
    """A number of the summary with its name and a remark."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Notice:
    """A warning in people's words."""

    code: str
    title: str
    detail: str
    action: str


@dataclass(frozen=True)
class Step:
    """What to do next, and how. `command` does it from a terminal."""

    title: str
    detail: str
    command: str


def answer(facts: Facts) -> Headline:
    """The answer to the first question: how many labels are wrong."""
    estimate, labels = facts.result["estimates"]["mislabeled"], many(facts.samples, "label")
    status, between = facts.status, interval(estimate)
    if status == "unknown":
        reason = estimate.get("reason") or f"It may be {between} of {labels}: the classes overlap too much."
        cure = "" if estimate.get("reason") else _CURE  # a reason says what helps
        return Headline(_STATUS[status], "Cannot tell how many labels are wrong", reason, cure)
    if status == "measured":
        headline = f"About {estimate['count']:,} of {labels} {'is' if estimate['count'] == 1 else 'are'} wrong"
        detail = f"Your reviewers would call {between} wrong, by what they said of samples that were drawn by chance."
        return Headline(_STATUS[status], headline, detail, "")
    if estimate["count"]:
        verb = "looks" if estimate["count"] == 1 else "look"
        headline = f"About {estimate['count']:,} of {labels} {verb} wrong"
    else:
        headline = "No label looks wrong"
    detail = f"Likely {between}." if between and (estimate["count"] or estimate["high"]) else ""
    if reason := estimate.get("reason"):
        detail = f"{detail} {reason}".strip()
    return Headline(_STATUS[status], headline, detail, "")


def interval(estimate: Mapping[str, Any]) -> str:
    """The interval of an estimate in words; empty when it has none."""
    if estimate["low"] is None or estimate["high"] is None:
        return ""
    low, high = round(estimate["low"]), round(estimate["high"])
    return f"{low:,}" if low == high else f"between {low:,} and {high:,}"


def main_figures(facts: Facts) -> list[Figure]:
    """The main numbers of a job."""
    model, reviewed = facts.result["model"], facts.reviewed
    flagged = facts.verdicts.get("mislabeled", 0)
    numbers = [
        Figure("Examined", f"{facts.samples:,}", f"of {counted_rows(facts.dataset)} in {facts.dataset.name}"),
        Figure("Labels that look wrong", f"{flagged:,}", f"{share(flagged / facts.samples)} of the samples")
        if flagged or facts.status != "unknown"
        else Figure("Labels that look wrong", "not judged", "the number cannot be told"),
        _unlike(facts),
        Figure(
            "Reviewed",
            f"{reviewed.samples:,}",
            decided(reviewed) or "nobody has decided yet",
        ),
    ]
    accuracy = model["train_accuracy"] if model["reference_accuracy"] is None else model["reference_accuracy"]
    where = "on the labels as given" if model["reference_accuracy"] is None else "on the reference"
    numbers.append(Figure("The model is right", share(accuracy), where))
    if facts.planted:
        best = next((one for one in facts.planted[0].signals if one.name == "mislabeled"), facts.planted[0].signals[0])
        numbers.append(Figure("Planted errors found", share(best.recall), f"of {facts.planted[0].count:,} planted"))
    return numbers


def decided(reviewed: Reviewed) -> str:
    """How many labels of the samples that people decided were wrong, and of the flagged ones where these are others; empty before."""
    every, flagged = reviewed.every, reviewed.flagged
    if not every.decided:
        return ""
    what = "reviewed" if every.decided == reviewed.samples else "decided"
    told = f"{every.wrong:,} of {every.decided:,} {what} {'was' if every.wrong == 1 else 'were'} wrong"
    if flagged.decided == every.decided:
        return told
    if not flagged.decided:
        return f"{told}; none of them is flagged"
    return f"{told}; {flagged.wrong:,} of the {many(flagged.decided, 'flagged one')} among them"


def _unlike(facts: Facts) -> Figure:
    name, count = "Look unlike their class", facts.verdicts.get("anomalous", 0)
    why = _not_judged(facts)
    if why and not count:
        return Figure(name, "not judged", why)
    return Figure(name, f"{count:,}", f"{share(count / facts.samples)} of the samples")


def _not_judged(facts: Facts) -> str:
    """Why no sample can be called unlike its class; empty where some could."""
    codes = {warning["code"] for warning in facts.result["warnings"]}
    if _NO_FEATURES in codes:
        return "that needs features"
    if not codes & _NOT_COUNTED and facts.result["estimates"]["anomalous"].get("status") != "unknown":
        return ""
    if facts.trusted >= TRUSTED_ROWS:
        return "the number cannot be told"
    verified = facts.verified_in_all
    if verified >= TRUSTED_ROWS:
        return f"{verified:,} samples are verified by now: score the samples again"
    number = f"{verified:,}" if verified else "none"
    return f"that needs {TRUSTED_ROWS} verified samples; {number} {'are' if verified > 1 else 'is'} verified"


def notices(facts: Facts) -> list[Notice]:
    """All warnings of the job and its dataset."""
    return _told(facts.result["warnings"]) + _told([one.model_dump() for one in facts.dataset.warnings])


def first_notices(facts: Facts) -> list[Notice]:
    """The warnings of the summary. The status of the answer stands for one of them."""
    return [one for one in notices(facts) if one.code != _ROUGH][:_NOTICES]


def _told(warnings: Sequence[Mapping[str, Any]]) -> list[Notice]:
    return [
        Notice(
            one["code"],
            one.get("title") or one["code"].replace("_", " ").capitalize(),
            _ASIDE.sub(_without_routes, one["detail"]),
            _action(one["code"], one.get("action") or {}),
        )
        for one in warnings
    ]


def _action(code: str, action: Mapping[str, Any]) -> str:
    """What to do about a warning. How many samples to verify is told with what for: they are others for other purposes."""
    if action.get("kind") == "verify" and code in _VERIFY:
        return _VERIFY[code].format(count=action["count"])
    return str(action.get("label", ""))


def _without_routes(found: "re.Match[str]") -> str:
    """Nothing in place of routes of the API: they are of no use on paper."""
    return "" if any(one in found[0] for one in _ROUTES) else found[0]


def in_brief(notice: Notice) -> str:
    """What to do about a warning; where it does not say, its first sentence."""
    return notice.action or re.split(r"(?<=[.!?])\s", notice.detail, maxsplit=1)[0]


def steps(facts: Facts) -> list[Step]:
    """How to go on, in order."""
    found, job, pending = [], facts.job.id, facts.reviewed.pending
    if not facts.has_trusted_reference and facts.verified < TRUSTED_ROWS:
        found.append(
            Step(
                "Verify samples that the job proposes",
                f"About {FIRST_VERIFIED} verified samples improve the ranking. By {TRUSTED_ROWS} a new run can tell the number of wrong "
                f"labels, and judges which samples look unlike their class.{_so_far(facts.verified)}",
                f"suspects verify-next {job}",
            )
        )
    if pending:
        found.append(
            Step(
                f"Review the {many(pending, 'flagged sample')} that nobody has decided",
                "Begin at the top, and stop when hardly any label is wrong. Each takes one key: keep, relabel or remove.",
                f"suspects suspects {job}",
            )
        )
    if facts.reviewed.samples:
        found.append(
            Step(
                "Take the corrected dataset",
                "It has the form of the upload: labels as decided, removed samples gone.",
                f"suspects corrected {job} > fixed",
            )
        )
    found.append(
        Step(
            "Rank again with what people decided",
            "The next job trusts the reviewed samples. A comparison shows which suspects are gone and which are new.",
            f"suspects rerun {job}",
        )
    )
    return found


def _so_far(verified: int) -> str:
    return f" So far {verified:,} {'is' if verified == 1 else 'are'} verified." if verified else ""


def anomaly_note(facts: Facts) -> str:
    """What the list of anomalies is worth."""
    flagged = facts.verdicts.get("anomalous", 0)
    if flagged:
        return (
            f"{many(flagged, 'sample')} {'lies' if flagged == 1 else 'lie'} where no verified sample of any label is."
        )
    why = _not_judged(facts)
    return (
        f"These are ranked, not judged: {why}." if why else "No sample is called unlike its class; these come closest."
    )
