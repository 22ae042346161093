"""The table of what can be wrong in data beside labels: titles, and what the score of each type is. worker.issues finds them."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

IssueType = Literal[
    "contradicting_duplicates", "exact_duplicates", "near_duplicates", "leakage", "order", "slices", "text", "images"
]
ISSUE_TYPES: tuple[IssueType, ...] = get_args(IssueType)
SUMMARY = "issues"  # the summary of a job that has them
MOST_SAMPLES = 500  # of each type, kept of a job


class IssueKind(BaseModel):
    """One row of the table. A score is from 0 to 1, higher = worse."""

    model_config = ConfigDict(frozen=True)

    title: str
    score: str


ISSUES: dict[IssueType, IssueKind] = {
    "contradicting_duplicates": IssueKind(
        title="The same input under different labels",
        score="Share of the samples whose input another sample has under another label.",
    ),
    "exact_duplicates": IssueKind(
        title="Samples that repeat",
        score="Share of the samples that repeat an earlier one, input and label, where no label contradicts.",
    ),
    "near_duplicates": IssueKind(
        title="Samples that are nearly the same",
        score="Share of the samples that are nearly the same as an earlier one with another input.",
    ),
    "leakage": IssueKind(
        title="Held-out samples that are also trained on",
        score="Share of the held-out samples whose input a training sample has too.",
    ),
    "order": IssueKind(
        title="The order of the upload says something about the samples",
        score="How much: 0 as if shuffled, 1 where the place of a sample tells its label.",
    ),
    "slices": IssueKind(
        title="Parts of the data in which the model is clearly worse",
        score="How much larger the share of labels that differ from the model's guess is in the worst part than elsewhere.",
    ),
    "text": IssueKind(
        title="Texts that are damaged, or unlike the others",
        score="Share of the texts.",
    ),
    "images": IssueKind(
        title="Images that are dark, bright, blank, blurred, or of an odd size",
        score="Share of the images.",
    ),
}
