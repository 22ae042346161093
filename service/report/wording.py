"""Words and numbers of a report: what was found, how a sample looks. The same in HTML and in Markdown."""

from collections.abc import Mapping
from typing import Any

from service.domain.dataset import Modality
from service.domain.review import Outcome
from service.domain.signal import HEADLINES
from service.report.facts import Entry, Facts

Term = tuple[str, str]
PERCENT = "\N{NO-BREAK SPACE}%"

_LEARNT = (
    "Each sample is ranked by how strongly its label contradicts what the model learns from all the others: early in "
    "training, before wrong labels are learnt by heart, and by the labels of the samples that are most like it."
)
_PREDICTED = (
    "Each sample is ranked by how strongly its label contradicts what models say of it that had not seen it, and, where "
    "there are features, by the labels of the samples that are most like it."
)
_READING = (
    (
        "The score mislabeled goes from 0 to 1, and 0.5 is the cut-off in every job. How many lie above it is an "
        "estimate; nobody had to say how many errors there are."
    ),
    (
        "A flag is a reason to look and no proof. Begin at the top. The suggested label is the one that fits best, the "
        "percentage beside it how probably it is right; of flagged samples that is rough."
    ),
    (
        "Anomalous means that a sample lies where samples that people have verified do not, whatever its label. Without "
        "a verified reference nothing is called so."
    ),
    (
        "What you decide goes back as reviews (POST /jobs/{id}/reviews); they make a corrected dataset "
        "(POST /datasets/{id}/versions), and what you have verified becomes the reference of the next job."
    ),
)
_FEATURES = 6  # of a row of a table
_OUTCOMES = {
    Outcome.RELABELLED_TO_SUGGESTION: "wrong, as suggested",
    Outcome.RELABELLED_OTHERWISE: "wrong, another label",
    Outcome.REMOVED: "wrong",
    Outcome.CONFIRMED: "was right",
    Outcome.UNSURE: "undecided",
    Outcome.PENDING: "undecided",
}
_BLIND = "no_features"
_UNCOUNTED = {"no_trusted_reference", "small_trusted_reference"}


def reading(facts: Facts) -> tuple[str, ...]:
    """How the report is to be read."""
    first, *rest = _READING
    return (f"{_PREDICTED if facts.predicted else _LEARNT} {first}", *rest)


def many(count: int, noun: str) -> str:
    """A number and what it counts: 1,797 samples."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def share(value: float | None) -> str:
    """A share in percent, to a tenth."""
    return "-" if value is None else f"{100 * value:.1f}{PERCENT}"


def cells(modality: Modality, preview: Mapping[str, Any]) -> list[Term]:
    """What a preview says, by name; nothing where a picture says it."""
    match modality:
        case "image":
            return [("size", f"{preview['width']} x {preview['height']}")]
        case "text":
            return [("", preview["text"])]
        case "embedding":
            ((name, numbers),) = [(name, value) for name, value in preview.items() if isinstance(value, list)]
            size = "" if name == "dimensions" else f" ({preview['dimensions']} numbers)"
            return [(name, ", ".join(map(_value, numbers)) + f", …{size}")]
        case "trace" | "predictions":
            return [("the model says", str(preview["model_says"]))]
        case "tabular":
            return [(name, _value(value)) for name, value in [*preview.items()][:_FEATURES]]


def _value(value: Any) -> str:
    match value:
        case None:
            return "missing"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.5g}"
        case _:
            return str(value)


def verdicts(facts: Facts) -> list[str]:
    """What was found, in a sentence each."""
    wrong = facts.result["estimates"]["mislabeled"]
    said = [_counted(wrong, facts.samples, "label", "wrong") if wrong["count"] else _none_wrong(wrong)]
    codes = {warning["code"] for warning in facts.result["warnings"]}
    strange = facts.result["estimates"]["anomalous"]
    if _BLIND in codes:
        said.append("Anomalies are not looked for: that takes features.")
    elif codes & _UNCOUNTED:
        said.append("Anomalies are ranked and not counted: that takes 150 samples that people have verified.")
    elif strange["count"]:
        said.append(_counted(strange, facts.samples, "sample", "anomalous"))
    else:
        said.append("No sample is called anomalous" + _up_to(strange) + ".")
    return said


def _counted(estimate: Mapping[str, Any], samples: int, noun: str, what: str) -> str:
    verb, interval = "looks" if estimate["count"] == 1 else "look", between(estimate)
    return f"About {estimate['count']:,} of {many(samples, noun)} {verb} {what}{interval and f' ({interval})'}."


def _none_wrong(estimate: Mapping[str, Any]) -> str:
    return "No label is called wrong" + _up_to(estimate) + "."


def _up_to(estimate: Mapping[str, Any]) -> str:
    return f"; up to {round(estimate['high']):,} may be" if estimate["high"] else ""


def between(estimate: Mapping[str, Any]) -> str:
    """The interval of an estimate, where there is one."""
    if estimate["low"] is None or estimate["high"] is None:
        return ""
    return f"between {round(estimate['low']):,} and {round(estimate['high']):,}"


def number(value: float | None) -> str:
    """Four digits."""
    return "-" if value is None else f"{value:.4g}"


def planted(entry: Entry) -> str:
    """Which error was planted in a sample."""
    if entry.planted_kind is None:
        return "nothing"
    relabelled = entry.planted_kind.startswith("mislabeled")
    return f"was {entry.planted_label}" if relabelled else f"{entry.planted_kind.replace('_', ' ')}"


def review(entry: Entry) -> str:
    """What people decided of a sample, and what it says of the suspicion."""
    if entry.review is None:
        return ""
    decided = f"relabel to {entry.review.label}" if entry.review.decision == "relabel" else entry.review.decision
    return f"{decided}: {_OUTCOMES[entry.outcome]}"


def cards(facts: Facts) -> list[tuple[str, str, str]]:
    """The numbers that matter most: name, value and a remark."""
    wrong, model, decided = facts.result["estimates"]["mislabeled"], facts.result["model"], facts.reviewed.precision
    told = [("Wrong labels, estimated", f"{wrong['count']:,}", between(wrong))]
    for verdict in (name for name in HEADLINES if name in facts.result["signals"]):
        count = facts.verdicts.get(verdict, 0)
        told.append((f"Flagged as {verdict}", f"{count:,}", f"{share(count / facts.samples)} of the samples"))
    told.append(
        (
            "Accuracy of the predictions" if facts.predicted else "Accuracy in training",
            share(model["train_accuracy"]),
            "on the labels as given",
        )
    )
    if model["reference_accuracy"] is not None:
        told.append(("Accuracy on the reference", share(model["reference_accuracy"]), ""))
    if decided.decided:
        told.append(("Right when reviewed", share(decided.precision), f"of {decided.decided:,} flagged samples"))
    return told
