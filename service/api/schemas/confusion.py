"""Responses about given against suggested labels."""

from pydantic import BaseModel, Field


class ClassCount(BaseModel):
    """Samples that carry one label."""

    label: str
    samples: int
    agreeing: int = Field(description="How many of them have the same suggested label: the diagonal.")


class PairCount(BaseModel):
    """Samples that carry one label while another is suggested."""

    given: str
    suggested: str
    count: int


class ConfusionView(BaseModel):
    """Given against suggested labels: the diagonal by class, and beside it the commonest pairs."""

    classes: list[ClassCount] = Field(description="Every class, in the order of the dataset.")
    items: list[PairCount] = Field(description="Pairs of different labels that occur, the commonest first.")
    total: int = Field(description="How many such pairs occur.")
    disagreeing: int = Field(description="How many samples they have in all.")
    left_out: int = Field(description="How many of these samples are in pairs beyond the limit.")
