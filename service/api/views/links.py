"""Paths of samples. Every character of an id is escaped, slashes too."""

from urllib.parse import quote

from service.domain.dataset import DatasetInfo


def sample_link(dataset_id: str, sample_id: str) -> str:
    """Path of one row of a dataset."""
    return f"/datasets/{dataset_id}/samples/{quote(sample_id, safe='')}"


def media_link(info: DatasetInfo, sample_id: str) -> str | None:
    """Path of a row's image or text; None for other data."""
    return f"{sample_link(info.id, sample_id)}/media" if info.modality in ("image", "text") else None


def job_sample_link(job_id: str, sample_id: str) -> str:
    """Path of everything that a job knows of one sample."""
    return f"/jobs/{job_id}/samples/{quote(sample_id, safe='')}"
