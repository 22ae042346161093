"""Words and numbers of a report, the same in HTML and in Markdown."""

from collections.abc import Mapping, Sequence, Sized
from datetime import datetime
from typing import Any

from service.domain.dataset import DatasetInfo, Modality
from service.domain.estimate import TRUSTED_ROWS
from service.domain.review import Outcome
from service.report.deviations import Deviation
from service.report.facts import Cell, Entry, Facts

Term = tuple[str, str]
PERCENT = "\N{NO-BREAK SPACE}%"

VERDICTS = {
    "mislabeled": "label looks wrong",
    "anomalous": "looks unlike its class",
    "clean": "looks fine",
    "not_judged": "not judged",
}
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
        "Each sample has a score between 0 and 1. From 0.5 on its label looks wrong. The number of samples above that is an "
        "estimate of the number of wrong labels; no error rate was given to the job."
    ),
    (
        "A label that looks wrong is a reason to check the sample, not a proof. Begin at the top. The suggested label is "
        "the one that fits best. The percentage is the estimated probability that it is right; it is rough."
    ),
    (
        "A sample looks unlike its class when it lies where there are no verified samples, whatever its label is. With "
        f"fewer than {TRUSTED_ROWS} verified samples no sample is judged that way."
    ),
    (
        "“Cannot tell” means that the range of the estimate is so wide that a number would mislead. “Not judged” means "
        "that the job had no means to decide. Verified samples are the cure for both."
    ),
)
_UNITS: Mapping[Modality, str] = {"tabular": "row", "image": "image", "text": "text", "embedding": "embedding"}
_FEATURES, _ODD = 7, 4  # values that are shown of a row of a table, and those of them that deviate
_NEARLY_SURE = 0.995
_WHOLE, _HUGE = 1e5, 1e15  # between these a number is written without decimals
OUTCOMES = {
    Outcome.RELABELLED_TO_SUGGESTION: "wrong, relabelled as suggested",
    Outcome.RELABELLED_OTHERWISE: "wrong, relabelled otherwise",
    Outcome.REMOVED: "removed",
    Outcome.CONFIRMED: "label was right",
    Outcome.PLAUSIBLE: "plausible, left as it is",
    Outcome.UNSURE: "unsure",
    Outcome.PENDING: "not reviewed",
}


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


def sure(confidence: float) -> str:
    """A confidence in whole percent; it is never 100."""
    return f"over 99{PERCENT}" if confidence >= _NEARLY_SURE else f"{100 * confidence:.0f}{PERCENT}"


def date(when: datetime) -> str:
    """A day and a time, as in 27 November 2026, 06:22 UTC."""
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def counted_rows(info: DatasetInfo) -> str:
    """The rows of a dataset with their noun, as in 1,500 images."""
    return many(info.rows, _UNITS.get(info.modality, "sample"))


def counted_classes(names: Sized) -> str:
    """The number of classes with its noun."""
    return "1 class" if len(names) == 1 else f"{len(names):,} classes"


def cells(modality: Modality, preview: Mapping[str, Any], odd: Sequence[Deviation] = ()) -> list[Cell]:
    """The values of a preview; of a row of a table those that deviate first."""
    match modality:
        case "image":
            return [Cell("size", f"{preview['width']} x {preview['height']}")]
        case "text":
            return [Cell("", preview["text"])]
        case "embedding":
            ((name, numbers),) = [(name, value) for name, value in preview.items() if isinstance(value, list)]
            size = "" if name == "dimensions" else f" ({preview['dimensions']} numbers)"
            return [Cell(name, ", ".join(map(_value, numbers)) + f", …{size}")]
        case "trace" | "predictions":
            return [Cell("prediction", str(preview["model_says"]))]
        case "tabular":
            first = [Cell(one.feature, _value(one.value), one.words) for one in odd[:_ODD]]
            others = [
                Cell(name, _value(value)) for name, value in preview.items() if name not in {c.name for c in first}
            ]
            return [*first, *others][:_FEATURES]


def _value(value: Any) -> str:
    match value:
        case None:
            return "missing"
        case bool():
            return "yes" if value else "no"
        case float() if _WHOLE <= abs(value) < _HUGE:
            return f"{value:.0f}"
        case float():
            return f"{value:.5g}"
        case _:
            return str(value)


def number(value: float | None) -> str:
    """A number with four significant digits."""
    return "-" if value is None else f"{value:.4g}"


def planted(entry: Entry) -> str:
    """The error that was planted in a sample; empty where none was."""
    if entry.planted_kind is None:
        return ""
    relabelled = entry.planted_kind.startswith("mislabeled")
    return f"planted: was {entry.planted_label}" if relabelled else f"planted: {entry.planted_kind.replace('_', ' ')}"


def review(entry: Entry) -> str:
    """What people decided about a sample; empty where nobody has."""
    if entry.review is None:
        return ""
    if entry.outcome is Outcome.RELABELLED_OTHERWISE:
        return f"reviewed: wrong, relabelled to {entry.review.label}"
    return f"reviewed: {OUTCOMES[entry.outcome]}"
