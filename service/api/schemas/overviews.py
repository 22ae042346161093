"""Responses about a ranking as a whole: a map, cut-offs, classes, planted errors."""

from typing import Literal

from pydantic import BaseModel, Field

from service.domain.region import MapMethod


class MapPoints(BaseModel):
    """Samples on a map, as columns of equal length."""

    id: list[str]
    x: list[float]
    y: list[float]
    label: list[int] = Field(description="Given labels, as places in `labels`.")
    suggested: list[int] = Field(description="Suggested labels, as places in `labels`.")
    verdict: list[int] = Field(description="Places in `verdicts`.")
    decision: list[int] = Field(description="Decisions that hold, as places in `decisions`; -1 where none does.")


class SampleMapView(BaseModel):
    """A map on which samples that the model finds similar lie together."""

    method: MapMethod
    methods: list[MapMethod] = Field(description="The maps that this job has.")
    samples: int = Field(description="How many samples are ranked.")
    placed: int = Field(description="How many of them the map has; umap leaves most of a large dataset out.")
    labels: list[str]
    verdicts: list[str]
    decisions: list[str]
    points: MapPoints
    note: str | None = Field(description="Why the job has no such map; null where it has.")


class ReviewedCutOff(BaseModel):
    """Share of wrong labels above a cut-off by reviews, each part of the ranking by its size; 95 %."""

    share: float
    low: float
    high: float


class CutOffView(BaseModel):
    """One cut-off."""

    score: float = Field(description="For `min_score`.")
    flagged: int = Field(description="How many samples score at least this.")
    expected: float | None = Field(description="Share of them whose label is expected to be wrong; null: not known.")
    decided: int = Field(description="Of how many of them people decided.")
    reviewed: ReviewedCutOff | None = Field(
        description="The share by these decisions; null while too few were made, or none in a part of the list."
    )


class CutOffList(BaseModel):
    """Cut-offs of a ranking, the strictest first."""

    by: str
    items: list[CutOffView]
    total: int
    basis: Literal["probability"] | None = Field(
        description="What `expected` is made of: the probability that each label is wrong. null where that is only an order."
    )
    why_not: str | None = Field(description="Why nothing is expected; null otherwise.")


class ClassHealthView(BaseModel):
    """Samples of one given label."""

    label: str
    samples: int
    mislabeled: int = Field(description="How many look mislabeled.")
    anomalous: int = Field(description="How many look unusual.")
    decided: int = Field(description="Of how many people decided.")
    wrong: int = Field(description="How many of those were relabelled or removed.")
    arriving: int = Field(description="Samples of other labels for which this one is suggested.")
    confused_with: str | None = Field(description="The other label that is suggested most often.")
    confused: int = Field(description="For how many samples.")
    held_out_agreement: float | None = Field(
        description="Share of the samples whose label is also what a model guesses that has not seen it; null: not known."
    )


class ClassHealthList(BaseModel):
    """Classes, the largest share of flagged samples first."""

    items: list[ClassHealthView]
    total: int


class CurvePointView(BaseModel):
    """The first `flagged` samples by a signal."""

    flagged: int
    precision: float = Field(description="Share of them that was planted.")
    recall: float = Field(description="Share of the planted errors among them.")


class DetectionCurve(BaseModel):
    """Precision and recall of one signal."""

    signal: str
    points: list[CurvePointView]


class PlantedErrorsView(BaseModel):
    """How well signals find the planted errors; both are empty where none were planted."""

    kinds: dict[str, int] = Field(description="How many were planted, by kind.")
    items: list[DetectionCurve]
    total: int
