"""The facts of a report as values: gathered once, then drawn as figures and written as HTML or Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from service.domain.dataset import DatasetInfo
from service.domain.precision import RankBand, ReviewedShare
from service.domain.review import Outcome, Review
from service.store.jobs import Job
from service.store.tallies import ClassTally, Confusion


@dataclass(frozen=True)
class Picture:
    """A thumbnail as a data URI. `tiny`: it has so few pixels that it is shown enlarged, pixel by pixel."""

    uri: str
    tiny: bool


class Cell(NamedTuple):
    """A value of a sample. `odd` says in words how it deviates from its class; empty where it does not."""

    name: str
    text: str
    odd: str = ""


@dataclass(frozen=True)
class SampleView:
    """A sample as it is shown: its values, and its picture where it is an image."""

    id: str
    cells: Sequence[Cell]
    picture: Picture | None


@dataclass(frozen=True)
class Entry:
    """One row of a ranking; `why` is empty when the job recorded no evidence of the sample, `confidence` None where it is only an order."""

    rank: int
    id: str
    sample: SampleView
    given: str
    suggested: str
    confidence: float | None
    verdict: str
    why: str
    planted_kind: str | None
    planted_label: str | None
    review: Review | None
    outcome: Outcome


@dataclass(frozen=True)
class Ranking:
    """The top of a ranking: its first entries, which the summary shows, and those after them, which a panel shows."""

    first: Sequence[Entry]
    rest: Sequence[Entry]


@dataclass(frozen=True)
class Epoch:
    """Mean loss and accuracy on the training samples at the end of an epoch."""

    number: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Scores:
    """A histogram of the score `mislabeled`: by verdict, one count a bin; one edge more than bins."""

    edges: Sequence[float]
    counts: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Group:
    """Samples of one label that stand apart from the rest of it, the most typical first."""

    label: str
    size: int
    separation: float
    gap: float
    members: Sequence[SampleView]


@dataclass(frozen=True)
class SignalFacts:
    """One signal over all samples, as GET /jobs/{id}/signals answers."""

    name: str
    title: str
    high: str
    headline: bool
    edges: Sequence[float]
    counts: Sequence[int]
    quantiles: Mapping[str, float]
    correlations: Mapping[str, float]


@dataclass(frozen=True)
class Detected:
    """How well a signal found the planted glitches of one kind."""

    name: str
    title: str
    headline: bool
    precision: float
    recall: float
    f1: float
    average_precision: float
    auroc: float


@dataclass(frozen=True)
class Planted:
    """The planted glitches of one kind, or "all" of them: how many, and the signals that find them, best first."""

    kind: str
    count: int
    signals: Sequence[Detected]


@dataclass(frozen=True)
class Reviewed:
    """The reviews so far, and the precision of the verdicts that they show."""

    samples: int
    pending: int
    precision: ReviewedShare
    by_verdict: Mapping[str, ReviewedShare]
    bands: Sequence[RankBand]
    outcomes: Mapping[Outcome, int]


@dataclass(frozen=True)
class Facts:
    """All facts of a report of a completed job. `classes` are in the order of the dataset."""

    job: Job
    dataset: DatasetInfo
    reference: DatasetInfo | None
    result: Mapping[str, Any]
    verdicts: Mapping[str, int]
    classes: Sequence[ClassTally]
    confusions: Sequence[Confusion]
    scores: Scores
    epochs: Sequence[Epoch]
    mislabeled: Ranking
    anomalous: Ranking  # without the entries of `mislabeled`
    groups: Sequence[Group]
    reviewed: Reviewed
    signals: Sequence[SignalFacts]
    planted: Sequence[Planted]

    @property
    def samples(self) -> int:
        """The number of ranked samples."""
        return int(self.result["samples"])

    @property
    def status(self) -> str:
        """How well the number of wrong labels is known: measured, rough or unknown.

        Results of earlier versions do not say it: there an interval from 0 to half the data is unknown.
        """
        estimate = self.result["estimates"]["mislabeled"]
        low, high = estimate["low"], estimate["high"]
        wide = low is not None and high is not None and not low and high >= self.samples / 2
        return str(estimate.get("status", "unknown" if wide else "rough"))

    def shown(self, verdict: str) -> str:
        """A verdict as it is shown: where the number of wrong labels is unknown, no label is called fine."""
        counted = self.status != "unknown" or self.result["estimates"]["anomalous"].get("status") in (
            "rough",
            "measured",
        )
        return "not_judged" if verdict == "clean" and not counted else verdict

    @property
    def top(self) -> Sequence[Entry]:
        """The samples with the most suspicious labels."""
        return [*self.mislabeled.first, *self.mislabeled.rest]

    @property
    def predicted(self) -> bool:
        """Whether the job ranked uploaded predictions, without training."""
        return self.dataset.modality == "predictions"

    @property
    def has_trusted_reference(self) -> bool:
        """Whether people have verified the reference."""
        return self.job.spec.reference is not None and self.job.spec.reference.is_trusted
