"""Responses about the signals of a job, groups and proposals."""

from pydantic import BaseModel, Field

from service.api.schemas.confidence import CONFIDENCE, SUGGESTED_CONFIDENCE
from service.api.schemas.samples import SampleCard
from service.domain.confidence import Confidence
from service.domain.label_part import LabelPart
from service.domain.signal import Signal


class Bins(BaseModel):
    """A histogram: `counts[i]` samples lie between `edges[i]` and `edges[i + 1]`."""

    edges: list[float]
    counts: list[int]


class SignalView(Signal):
    """One signal over all samples of a job."""

    histogram: Bins
    quantiles: dict[str, float] = Field(description="By share: 0.5 is the median.")
    correlations: dict[str, float] = Field(description="Spearman's, with every other signal.")
    detection: dict[str, float | None] | None = Field(
        description="How well it found the planted glitches: precision, recall, f1 at the planted count, "
        "average_precision, auroc, and authors_f1, that of the paper's evaluation, which flags one sample more; null "
        "when none were planted."
    )
    detection_by_kind: dict[str, dict[str, float | None]] = Field(
        default_factory=dict, description="The same for each planted kind, samples of the other kinds left out."
    )


class SignalList(BaseModel):
    """The signals of a job."""

    items: list[SignalView]
    total: int
    ranking: dict[str, list[str]] = Field(
        description="With glitches planted, for all of them and for each kind the signals that find them on this "
        "dataset and model, the best average precision first; empty otherwise."
    )


class GroupPart(BaseModel):
    """One of the two parts of a label. Either can be the wrong one: look at both."""

    part: LabelPart = Field(
        description="tighter: its samples are more like one another; it is the group. As a filter, together with the label, it "
        "gives every sample of the part."
    )
    size: int
    is_smaller: bool = Field(description="Whether it has fewer samples than the other part.")
    leans_to: str | None = Field(
        description="The other label that is nearest to it; null where the nearest samples are all of its own label."
    )
    lean: float = Field(
        description="How strongly, 0 to 1: the share of that label among the ten nearest samples outside of the part, of every "
        "label as many to choose from, the other part of its own included."
    )
    sample_ids: list[str] = Field(description="The most typical first, 50 at most.")
    previews: list[SampleCard]


class GroupView(BaseModel):
    """Both parts of a label. Size and samples are those of the tighter one."""

    label: str
    size: int
    separation: float = Field(description="Share of the label's variance that setting it apart explains.")
    gap: float = Field(
        description="The same along the line between the group and the rest alone: near 1 for two clusters, 0.64 for one "
        "normal cluster cut in its middle."
    )
    sample_ids: list[str] = Field(description="The most typical first; not all of a large group.")
    previews: list[SampleCard]
    parts: list[GroupPart] = Field(
        default_factory=list, description="Both, the tighter one first; empty for a job of an earlier version."
    )


class GroupList(BaseModel):
    """Groups, the best separated first."""

    items: list[GroupView]
    total: int
    note: str | None = Field(None, description="Why no job of this kind has any; null otherwise.")


class Candidate(BaseModel):
    """A sample whose label is worth verifying."""

    sample: SampleCard
    given_label: str
    suggested_label: str
    suggested_confidence: float = Field(description=SUGGESTED_CONFIDENCE)
    why: str = Field(
        description="How many samples of its label are more like it, in the model's features, than like any earlier "
        "proposal; of a label with more than 2,000 samples, as many were drawn and looked at."
    )


class CandidateList(BaseModel):
    """Samples to verify; the ids of those found right go into `reference.samples` of the next job."""

    items: list[Candidate]
    total: int
    confidence: Confidence = Field(description=CONFIDENCE)
    note: str | None = Field(None, description="Why no job of this kind has any; null otherwise.")
