"""Two jobs side by side, sample by sample."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from service.domain.verdict import Verdict


class DiffSide(BaseModel):
    """One of two jobs."""

    job: str
    dataset: str
    created_at: datetime
    samples: int = Field(description="How many it ranked.")
    flagged: int
    train_accuracy: float | None
    reference_accuracy: float | None


class DiffPlace(BaseModel):
    """Where a sample stands in one job."""

    rank: int
    score: float
    verdict: Verdict
    given_label: str
    suggested_label: str


class DiffItem(BaseModel):
    """A sample in both jobs; null where it was not ranked."""

    sample_id: str
    before: DiffPlace | None
    after: DiffPlace | None
    why: Literal["removed", "held_out", "new", "relabelled", "verdict", "rank"] = Field(
        description="What differs, the first that holds: it is not in the later dataset; it is in one of the two "
        "rankings only; it has another label; another verdict; another rank."
    )


class DiffList(BaseModel):
    """Part of a list, the most suspicious first."""

    items: list[DiffItem]
    total: int


class DiffAccuracy(BaseModel):
    """The accuracy on the reference before and after."""

    comparable: bool = Field(description="Whether both jobs were measured on the same samples with the same labels.")
    before: float | None
    after: float | None
    gain: float | None = Field(description="after - before; null unless comparable.")
    note: str


class JobDiff(BaseModel):
    """What differs between two jobs; `before` is the one that was submitted first."""

    by: str
    before: DiffSide
    after: DiffSide
    accuracy: DiffAccuracy
    differing: list[str] = Field(description="Parts of `spec` that are not the same, the dataset aside.")
    common: int = Field(description="Samples that both ranked.")
    only_before: int
    only_after: int
    relabelled: DiffList = Field(description="Samples whose given label changed.")
    appeared: DiffList = Field(description="Flagged after and not before.")
    vanished: DiffList = Field(description="Flagged before and not after.")
    entered: DiffList = Field(description="Among the first `limit` after and not before.")
    left: DiffList = Field(description="Among the first `limit` before and not after.")
    moved: DiffList = Field(description="Among the first `limit` in both, at another rank.")
