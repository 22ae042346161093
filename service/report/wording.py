"""Sentences and numbers of a report, the same in HTML and in Markdown."""

from collections.abc import Mapping
from typing import Any

from service.domain.dataset import Modality
from service.domain.review import Outcome
from service.domain.signal import HEADLINES
from service.report.facts import Entry, Facts

Term = tuple[str, str]
PERCENT = "\N{NO-BREAK SPACE}%"

_TRAINED = (
    "A sample ranks high when its label contradicts the model. The model is measured early in training too, before it "
    "memorizes wrong labels, and the labels of the most similar samples count."
)
_PREDICTED = (
    "A sample ranks high when its label contradicts the predictions of models that were not trained on it. With "
    "features, the labels of the most similar samples count too."
)
_READING = (
    (
        "The score mislabeled is between 0 and 1. The cut-off is 0.5 in every job. The number of samples above it is an "
        "estimate of the number of wrong labels; no error rate was given to the job."
    ),
    (
        "A flag is a reason to check a sample, not a proof. Begin at the top. The suggested label is the one that fits "
        "best; the percentage is the estimated probability that it is right, and it is rough for flagged samples."
    ),
    (
        "Anomalous means that a sample lies where there are no verified samples, whatever its label is. Without a "
        "verified reference no sample is called anomalous."
    ),
    (
        "Decisions go back as reviews (POST /jobs/{id}/reviews). Reviews make a corrected dataset "
        "(POST /datasets/{id}/versions), and verified samples become the reference of the next job."
    ),
)
_FEATURES = 6  # values that are shown of a row of a table
_OUTCOMES = {
    Outcome.RELABELLED_TO_SUGGESTION: "wrong, as suggested",
    Outcome.RELABELLED_OTHERWISE: "wrong, another label",
    Outcome.REMOVED: "wrong",
    Outcome.CONFIRMED: "was right",
    Outcome.UNSURE: "undecided",
    Outcome.PENDING: "undecided",
}
_NO_FEATURES = "no_features"
_NOT_COUNTED = {"no_trusted_reference", "small_trusted_reference"}


def how_to_read(facts: Facts) -> tuple[str, ...]:
    """Paragraphs on how to read the report."""
    first, *rest = _READING
    return (f"{_PREDICTED if facts.predicted else _TRAINED} {first}", *rest)


def many(count: int, noun: str) -> str:
    """A number with its noun, as in 1,797 samples."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def share(value: float | None) -> str:
    """A share in percent with one decimal."""
    return "-" if value is None else f"{100 * value:.1f}{PERCENT}"


def cells(modality: Modality, preview: Mapping[str, Any]) -> list[Term]:
    """The values of a preview as `(name, text)` pairs."""
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
            return [("prediction", str(preview["model_says"]))]
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


def findings(facts: Facts) -> list[str]:
    """The findings, one sentence each."""
    wrong = facts.result["estimates"]["mislabeled"]
    sentences = [_counted(wrong, facts.samples, "label", "wrong") if wrong["count"] else _none_wrong(wrong)]
    codes = {warning["code"] for warning in facts.result["warnings"]}
    anomalous = facts.result["estimates"]["anomalous"]
    if _NO_FEATURES in codes:
        sentences.append("Anomalies are not searched for: that needs features.")
    elif codes & _NOT_COUNTED:
        sentences.append("Anomalies are ranked but not counted: counting needs 150 verified samples.")
    elif anomalous["count"]:
        sentences.append(_counted(anomalous, facts.samples, "sample", "anomalous"))
    else:
        sentences.append("No sample is called anomalous" + _up_to(anomalous) + ".")
    return sentences


def _counted(estimate: Mapping[str, Any], samples: int, noun: str, what: str) -> str:
    verb, between = "looks" if estimate["count"] == 1 else "look", interval(estimate)
    return f"About {estimate['count']:,} of {many(samples, noun)} {verb} {what}{between and f' ({between})'}."


def _none_wrong(estimate: Mapping[str, Any]) -> str:
    return "No label is called wrong" + _up_to(estimate) + "."


def _up_to(estimate: Mapping[str, Any]) -> str:
    return f"; up to {round(estimate['high']):,} may be" if estimate["high"] else ""


def interval(estimate: Mapping[str, Any]) -> str:
    """The interval of an estimate in words; empty when it has none."""
    if estimate["low"] is None or estimate["high"] is None:
        return ""
    return f"between {round(estimate['low']):,} and {round(estimate['high']):,}"


def number(value: float | None) -> str:
    """A number with four significant digits."""
    return "-" if value is None else f"{value:.4g}"


def planted(entry: Entry) -> str:
    """The glitch that was planted in a sample."""
    if entry.planted_kind is None:
        return "nothing"
    relabelled = entry.planted_kind.startswith("mislabeled")
    return f"was {entry.planted_label}" if relabelled else f"{entry.planted_kind.replace('_', ' ')}"


def review(entry: Entry) -> str:
    """The review of a sample, and whether it confirms the suspicion."""
    if entry.review is None:
        return ""
    decided = f"relabel to {entry.review.label}" if entry.review.decision == "relabel" else entry.review.decision
    return f"{decided}: {_OUTCOMES[entry.outcome]}"


def cards(facts: Facts) -> list[tuple[str, str, str]]:
    """The most important numbers: name, value and a remark."""
    wrong, model, decided = facts.result["estimates"]["mislabeled"], facts.result["model"], facts.reviewed.precision
    numbers = [("Wrong labels, estimated", f"{wrong['count']:,}", interval(wrong))]
    for verdict in (name for name in HEADLINES if name in facts.result["signals"]):
        count = facts.verdicts.get(verdict, 0)
        numbers.append((f"Flagged as {verdict}", f"{count:,}", f"{share(count / facts.samples)} of the samples"))
    numbers.append(
        (
            "Accuracy of the predictions" if facts.predicted else "Accuracy in training",
            share(model["train_accuracy"]),
            "on the labels as given",
        )
    )
    if model["reference_accuracy"] is not None:
        numbers.append(("Accuracy on the reference", share(model["reference_accuracy"]), ""))
    if decided.decided:
        numbers.append(("Right when reviewed", share(decided.precision), f"of {decided.decided:,} flagged samples"))
    return numbers
