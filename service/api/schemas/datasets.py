"""Requests and responses about datasets."""

from typing import Any

from pydantic import BaseModel, Field

from service.api.schemas.page import Page
from service.domain.connection import PullSource
from service.domain.dataset import DatasetInfo, DatasetSpec, Frozen, SkippedRow


class FromUrl(Frozen):
    """JSON body of POST /datasets for a file behind a URL."""

    url: str = Field(max_length=4096, description="http or https; fetched once, now.")
    spec: DatasetSpec = Field(DatasetSpec(), description="What is known of the file.")


class FromProject(PullSource):
    """JSON body of POST /datasets for the labelled tasks of a project. They are read before the answer."""

    name: str | None = Field(None, max_length=200, description="Shown in lists; the project's title when left out.")

    @property
    def source(self) -> PullSource:
        """Connection, project and policy, without the name."""
        return PullSource(**{name: getattr(self, name) for name in PullSource.model_fields})


class DatasetPage(Page[DatasetInfo]):
    """Datasets, newest first."""


class SkippedPage(Page[SkippedRow]):
    """Skipped rows, in the order of the upload."""


class VersionList(BaseModel):
    """Corrected versions of a dataset."""

    items: list[DatasetInfo]
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
