"""What one check found, as it is kept of a job."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from service.domain.issue import MOST_SAMPLES, IssueType


@dataclass(frozen=True)
class IssueSample:
    """A sample that a check flagged. `group`: number of the set of samples that it belongs to, from 0; `part`: "training", "reference" or a split.

    `index` is its position in the upload that it came with: that of the reference for samples of a reference dataset.
    """

    id: str
    index: int
    label: str
    part: str = "training"
    group: int | None = None
    detail: str | None = None


@dataclass(frozen=True)
class DataIssue:
    """The answer of one check. `score`: see service.domain.issue; `flagged` samples in all, of which the first are in `samples`.

    `found`: whether there is something to look at. `detail`: one sentence.
    """

    type: IssueType
    score: float
    flagged: int
    detail: str
    samples: Sequence[IssueSample] = field(default=())
    found: bool = field(kw_only=True)


@dataclass(frozen=True)
class NotChecked:
    """A check that could not be made, and why."""

    type: IssueType
    reason: str


def summary_of(answers: Iterable[DataIssue | NotChecked]) -> dict[str, Any]:
    """The answers as the summary of a job, with 500 samples of each type at most."""
    found = [one for one in answers if isinstance(one, DataIssue)]
    return {
        "items": [
            {**asdict(one), "samples": [asdict(sample) for sample in one.samples[:MOST_SAMPLES]]} for one in found
        ],
        "not_checked": [asdict(one) for one in answers if isinstance(one, NotChecked)],
    }
