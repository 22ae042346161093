"""Responses about the people who gave the labels."""

from pydantic import BaseModel, Field


class ShareView(BaseModel):
    """A share with its 95 % interval by Wilson."""

    share: float
    low: float
    high: float


class AgreementView(BaseModel):
    """Agreement on samples that several people labelled, skipped rows with annotators in conflict among them."""

    samples: int = Field(description="How many such samples.")
    share: float = Field(description="Mean share of the other people's labels on them that are the same.")
    corrected: float | None = Field(
        description="The same beyond chance: 0 is what chance gives, 1 is full agreement. Cohen's kappa of a person and the others; of all "
        "together, Krippendorff's alpha. null where chance alone gives full agreement, and for each of very many people."
    )


class AnnotatorNumbers(BaseModel):
    """Numbers of labels that one person gave, or all together."""

    labelled: int = Field(description="How many ranked samples have a label of theirs.")
    doubted: int = Field(
        description="For how many of them the job holds another label right: the suggested one where it calls the sample mislabeled, else the given "
        "one. With a single label a sample, these are the samples with the verdict mislabeled."
    )
    doubted_share: ShareView | None = Field(description="doubted / labelled; null where nothing ranked is labelled.")
    reviewed: int = Field(description="How many of those labels a review decides.")
    wrong: int = Field(description="How many of those it finds wrong, or removes the sample.")
    agreement: AgreementView | None = Field(description="null where no sample has labels of several people.")


class ConfusedLabelsView(BaseModel):
    """How often a person gave one label where the job holds another one right."""

    given: str
    suggested: str
    count: int


class AnnotatorView(AnnotatorNumbers):
    """One person who gave labels."""

    annotator: str = Field(description="Name or id, as the upload has it.")
    others_share: float | None = Field(
        description="The share of doubted labels that the others have on samples of the same classes; null where nobody else labelled "
        "any."
    )
    chance: float | None = Field(
        description="Probability that chance alone gives somebody as many doubts, corrected for the number of people by Holm. null: "
        "nobody to compare with."
    )
    stands_out: bool = Field(
        description="Whether `chance` is .05 or less: more labels are doubted than chance explains."
    )
    most_confused: list[ConfusedLabelsView] = Field(description="The commonest of their doubted labels, three at most.")


class AnnotatorList(BaseModel):
    """People who gave labels: those that stand out first, then by the lower end of the share of doubted labels."""

    items: list[AnnotatorView]
    overall: AnnotatorNumbers
    not_known: int = Field(description="Of how many ranked samples nobody is known who labelled them.")
    detail: str = Field(description="What the differences mean, or how to say who labelled, in a sentence.")
    total: int
