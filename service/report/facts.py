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
class DataProblem:
    """What is wrong in the data beside its labels: of how many samples, 0 for the data as a whole, and the first of them."""

    title: str
    detail: str
    flagged: int
    samples: Sequence[str]


@dataclass(frozen=True)
class Reviewed:
    """The reviews so far: of all ranked samples, and of the flagged ones alone.

    `samples` have a review, and `pending` flagged ones have none. `outcomes`: of all samples and of the flagged ones.
    """

    samples: int
    pending: int
    every: ReviewedShare
    flagged: ReviewedShare
    by_verdict: Mapping[str, ReviewedShare]
    bands: Sequence[RankBand]
    outcomes: Mapping[Outcome, tuple[int, int]]


@dataclass(frozen=True)
class Facts:
    """All facts of a report of a completed job. `classes` are in the order of the dataset.

    `verified`: of how many ranked samples people have verified the label by now, which a rescoring would use.
    """

    job: Job
    dataset: DatasetInfo
    reference: DatasetInfo | None
    verified: int
    result: Mapping[str, Any]
    verdicts: Mapping[str, int]
    classes: Sequence[ClassTally]
    confusions: Sequence[Confusion]
    scores: Scores
    epochs: Sequence[Epoch]
    mislabeled: Ranking
    anomalous: Ranking  # without the entries of `mislabeled`
    groups: Sequence[Group]
    problems: Sequence[DataProblem]
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
        """Whether people had verified the reference when the job was made."""
        return self.job.spec.reference is not None and self.job.spec.reference.is_trusted

    @property
    def rescored_by(self) -> int | None:
        """How many verified samples the samples were scored again by; None where the ranking is the job's own."""
        rescored = self.result.get("rescored")
        return None if rescored is None else int(rescored["samples"])

    @property
    def reference_size(self) -> int:
        """How many samples the job was given as reference by name, split or dataset; 0 where it was given none of these."""
        reference = self.job.spec.reference
        if reference is None or reference.holdout is not None:
            return 0
        if reference.split is not None:
            return self.dataset.splits.get(reference.split, 0)
        if reference.samples is not None:
            return len(reference.samples)
        return 0 if self.reference is None else self.reference.rows

    @property
    def trusted(self) -> int:
        """How many verified samples the ranking was made by."""
        if self.rescored_by is not None:
            return self.rescored_by
        return self.reference_size if self.has_trusted_reference else 0

    @property
    def verified_in_all(self) -> int:
        """How many samples are verified by now, the reference that the job was given included."""
        return self.verified + (self.reference_size if self.has_trusted_reference else 0)
