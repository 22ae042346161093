"""Responses about what is wrong in the data of a job beside its labels."""

from pydantic import BaseModel, Field

from service.domain.issue import MOST_SAMPLES, IssueType


class FlaggedSample(BaseModel):
    """A sample that an issue is about."""

    id: str
    index: int = Field(description="Position in the upload that it came with.")
    label: str = Field(description="Of a training sample the label that it was ranked with.")
    part: str = Field(
        description="training: it is ranked. reference: it is in the job's reference. Otherwise the split of the dataset that it is in."
    )
    group: int | None = Field(
        None,
        description="Number of the set of samples that it belongs to, from 0; null where each sample stands for itself.",
    )
    detail: str | None = Field(
        None, description="What is the matter with this sample; null where the type says it all."
    )


class IssueView(BaseModel):
    """One type of issue in the samples of a job."""

    type: IssueType
    title: str
    found: bool = Field(description="Whether there is something to look at.")
    score: float = Field(description="0 to 1, higher = worse. What it is of this type, `score_is` says.")
    score_is: str
    flagged: int = Field(description="How many samples; 0 for what is true of the data as a whole.")
    samples: list[FlaggedSample] = Field(
        description=f"The first of them, set after set, as many as `limit`; of each type {MOST_SAMPLES} are kept."
    )
    detail: str = Field(description="What was found, in plain words.")


class UncheckedIssue(BaseModel):
    """A type of issue that was not looked for."""

    type: IssueType
    title: str
    reason: str


class IssueList(BaseModel):
    """Issues by type, also those of which nothing was found."""

    items: list[IssueView]
    total: int
    not_checked: list[UncheckedIssue] = Field(description="Types that this job could not be examined for, and why.")
