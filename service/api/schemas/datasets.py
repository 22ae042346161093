"""What the service takes and answers of datasets."""

from typing import Any

from pydantic import BaseModel, Field

from service.api.schemas.page import Page
from service.domain.connection import PullSource
from service.domain.dataset import DatasetInfo, DatasetSpec, Frozen, SkippedRow


class FromUrl(Frozen):
    """What POST /datasets takes as JSON."""

    url: str = Field(max_length=4096, description="http or https; fetched once, now.")
    spec: DatasetSpec = Field(DatasetSpec(), description="What is known of the file.")


class FromProject(PullSource):
    """What POST /datasets takes as JSON for the labelled tasks of a project; they are read now."""

    name: str | None = Field(None, max_length=200, description="Shown in lists; the project's title when left out.")

    @property
    def source(self) -> PullSource:
        """Where the tasks come from."""
        return PullSource(**{name: getattr(self, name) for name in PullSource.model_fields})


class DatasetPage(Page[DatasetInfo]):
    """Datasets, newest first."""


class SkippedPage(Page[SkippedRow]):
    """Rows that are not in the dataset, in the order of the upload."""


class VersionList(BaseModel):
    """The corrected datasets that were made of one."""

    items: list[DatasetInfo]
    total: int
    ancestors: list[str] = Field(description="Ids of what the dataset itself was made of, its parent first.")


class VerifiedPage(Page[str]):
    """Ids of samples, sorted."""


class DatasetSampleLinks(BaseModel):
    """Where more is."""

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
