"""Requests and responses about datasets."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.api.schemas.page import Page
from service.domain.connection import PullSource
from service.domain.dataset import DatasetInfo, DatasetSpec, Frozen, SkippedRow
from service.domain.names import Name


class FromUrl(Frozen):
    """JSON body of POST /datasets for a file behind a URL."""

    url: str = Field(max_length=4096, description="http or https; fetched once, now.")
    spec: DatasetSpec = Field(DatasetSpec(), description="What is known of the file.")


class FromProject(PullSource):
    """JSON body of POST /datasets for the labelled tasks of a project. They are read before the answer."""

    name: Name | None = Field(None, max_length=200, description="Shown in lists; the project's title when left out.")

    @property
    def source(self) -> PullSource:
        """Connection, project and policy, without the name."""
        return PullSource(**{name: getattr(self, name) for name in PullSource.model_fields})


class DatasetView(DatasetInfo):
    """A dataset, with what became of it."""

    jobs: int = Field(description="How many jobs train on it.")
    version: int = Field(description="1 for an upload; of a corrected dataset one more than that of its parent.")
    parent: str | None = Field(description="The dataset that it corrects; null for an upload.")


class DatasetPage(Page[DatasetView]):
    """Datasets, newest first."""


class SkippedPage(Page[SkippedRow]):
    """Skipped rows, in the order of the upload."""


class VersionList(BaseModel):
    """Corrected versions of a dataset."""

    items: list[DatasetView]
    total: int
    ancestors: list[str] = Field(description="Ids of what the dataset itself was made of, its parent first.")


class VerifiedPage(Page[str]):
    """Sample ids, sorted."""


class DatasetSampleLinks(BaseModel):
    """Paths of related resources."""

    self: str
    media: str | None = Field(description="The image or text itself; null for other data.")


class DatasetSample(BaseModel):
    """One row of a dataset."""

    id: str
    index: int = Field(description="Position in the upload, 0-based.")
    split: str
    label: str
    features: dict[str, Any] = Field(description="By the client's names; an image is described, see links.media.")
    links: DatasetSampleLinks


class DatasetSampleCard(BaseModel):
    """One row of a dataset in short."""

    id: str
    index: int = Field(description="Position in the upload, 0-based.")
    split: str
    label: str
    preview: dict[str, Any]
    links: DatasetSampleLinks


class DatasetSamplePage(Page[DatasetSampleCard]):
    """Rows of a dataset, in their order."""


class ValueCount(BaseModel):
    """A category and how many samples have it."""

    value: str
    count: int


class ValueSummary(BaseModel):
    """Values of one input: a grid of quantiles of numbers, or the most frequent categories."""

    count: int = Field(description="Samples that have a value.")
    missing: int = Field(description="Samples that have none.")
    quantiles: list[float] | None = Field(description="At the shares of `quantiles`; null of categories.")
    values: list[ValueCount] | None = Field(description="The most frequent 20; null of numbers.")
    other: int | None = Field(description="Samples with another category than these.")


class ClassSummary(ValueSummary):
    """Values of one input in one class."""

    label: str


class FeatureProfile(BaseModel):
    """Values of one input, overall and by class."""

    name: str
    kind: Literal["numeric", "categorical"]
    overall: ValueSummary
    by_class: list[ClassSummary] = Field(description="The largest 100 classes, the largest first.")


class TypicalWord(BaseModel):
    """A word that texts of a class hold much more often than other texts."""

    word: str = Field(description="In lower case.")
    texts: int = Field(description="How many texts of the class hold it.")
    share: float = Field(description="The same as a share of the texts of the class.")
    elsewhere: float = Field(description="The share of the other texts that hold it.")


class ClassWords(BaseModel):
    """The typical words of one class."""

    label: str
    texts: int = Field(description="How many texts of the class were read.")
    words: list[TypicalWord] = Field(description="The most telling first, at most 100; empty where none stands out.")


class DatasetProfile(BaseModel):
    """Values of the inputs of a dataset, by class: what is usual there."""

    rows: int = Field(description="How many rows were read: at most about 200,000, spread evenly.")
    quantiles: list[float] = Field(description="The shares that the grids of quantiles are for.")
    features: list[FeatureProfile] = Field(description="Numbers and categories, the first 200.")
    typical_words: list[ClassWords] = Field(
        description="Of a text dataset with two classes or more: the words that are typical of each of the largest 100 classes, "
        "counted in the first 2,000 characters of each text, of more than 32 MiB in a part of the texts that is spread evenly. What is typical of a class here is not what a model has looked at. "
        "Texts in scripts without spaces between words, such as Chinese, Japanese and Thai, have none."
    )
    left_out: dict[Literal["features", "classes", "rows"], int] = Field(description="How many of each are not in it.")
