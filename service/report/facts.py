"""What a report tells, as values: gathered once, then drawn as figures and written as HTML or Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.dataset import DatasetInfo
from service.domain.precision import Band, Share
from service.domain.review import Outcome, Review
from service.store.jobs import Job
from service.store.tallies import ClassTally, Confusion


@dataclass(frozen=True)
class Picture:
    """A small image as a data URI; one that is `tiny` has so few pixels that each should be seen."""

    uri: str
    tiny: bool


@dataclass(frozen=True)
class Shown:
    """A sample as people recognise it: what it says of itself, by name, and its picture."""

    id: str
    cells: Sequence[tuple[str, str]]
    picture: Picture | None


@dataclass(frozen=True)
class Entry:
    """One row of a ranking; `why` is empty where nothing is known."""

    rank: int
    id: str
    sample: Shown
    given: str
    suggested: str
    confidence: float
    score: float
    verdict: str
    why: str
    planted_kind: str | None
    planted_label: str | None
    review: Review | None
    outcome: Outcome


@dataclass(frozen=True)
class Ranking:
    """The top of a ranking, and how many samples carry its verdict."""

    by: str
    flagged: int
    entries: Sequence[Entry]


@dataclass(frozen=True)
class Epoch:
    """How training stood at the end of an epoch."""

    number: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Scores:
    """By verdict, how many `mislabeled` scores lie between each two edges."""

    edges: Sequence[float]
    counts: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Group:
    """Samples of one label that stand apart from the rest of it, the most typical first."""

    label: str
    size: int
    separation: float
    gap: float
    members: Sequence[Shown]


@dataclass(frozen=True)
class SignalFacts:
    """One signal over all samples, in the words of GET /jobs/{id}/signals."""

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
    """What people made of the ranking so far."""

    samples: int
    pending: int
    precision: Share
    by_verdict: Mapping[str, Share]
    bands: Sequence[Band]
    outcomes: Mapping[Outcome, int]


@dataclass(frozen=True)
class Facts:
    """Everything that a report of a completed job says. `classes` are in the dataset's order."""

    job: Job
    dataset: DatasetInfo
    reference: DatasetInfo | None
    result: Mapping[str, Any]
    verdicts: Mapping[str, int]
    classes: Sequence[ClassTally]
    confusions: Sequence[Confusion]
    scores: Scores
    course: Sequence[Epoch]
    mislabeled: Ranking
    anomalous: Ranking
    groups: Sequence[Group]
    reviewed: Reviewed
    signals: Sequence[SignalFacts]
    planted: Sequence[Planted]

    @property
    def samples(self) -> int:
        """How many were ranked."""
        return int(self.result["samples"])

    @property
    def predicted(self) -> bool:
        """Whether predictions from elsewhere are ranked, and nothing was trained."""
        return self.dataset.modality == "predictions"

    @property
    def trusts(self) -> bool:
        """Whether people have verified the reference."""
        return self.job.spec.reference is not None and self.job.spec.reference.is_trusted
