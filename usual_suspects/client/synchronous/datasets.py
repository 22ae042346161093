"""A dataset of the service."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from usual_suspects.client.conversion import to_model
from usual_suspects.client.models import DatasetInfo, DatasetSample, SkippedRow, VersionList
from usual_suspects.client.names import sample_name
from usual_suspects.client.requests import create, delete, get
from usual_suspects.client.submissions.prepared import Origin
from usual_suspects.client.synchronous.pages import Pages, model
from usual_suspects.client.synchronous.transport import Transport


class Dataset:
    """A dataset of the service, as it was when it was read; `info` says what is in it."""

    def __init__(self, transport: Transport, info: DatasetInfo, origin: Origin | None = None) -> None:
        self._transport, self.info, self.origin = transport, info, origin

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.info.name!r}: {self.info.rows} rows, {len(self.info.classes)} classes>"

    @property
    def id(self) -> str:
        """Its id: ds_…."""
        return self.info.id

    def sample(self, sample: Any) -> DatasetSample:
        """One row, by its id or its value in the index of the frame. Raises ApiError."""
        name = sample_name(sample, self.origin)
        return to_model(DatasetSample, self._transport.send(get("datasets", self.id, "samples", name)))

    def media(self, sample: Any) -> bytes:
        """The image or text of a sample. Raises ApiError."""
        with self._transport.opened(
            get("datasets", self.id, "samples", sample_name(sample, self.origin), "media")
        ) as blocks:
            return b"".join([block for block in blocks])

    def skipped(self) -> Pages[SkippedRow]:
        """Rows that were left out, and why."""
        return Pages(self._transport, get("datasets", self.id, "skipped"), model(SkippedRow))

    def verified(self) -> Pages[str]:
        """Ids of the samples that people kept or relabelled."""
        return Pages(self._transport, get("datasets", self.id, "verified"), str)

    def versions(self) -> VersionList:
        """Corrected datasets that were made of it. Raises ApiError."""
        return to_model(VersionList, self._transport.send(get("datasets", self.id, "versions")))

    def make_version(self, job: str, apply: str = "reviews") -> "Dataset":
        """The dataset as the reviews of a job correct it, or, with `apply` suggestions, also its suggestions. Raises ApiError."""
        request = create({"job": job, "apply": apply}, "datasets", self.id, "versions")
        return Dataset(self._transport, to_model(DatasetInfo, self._transport.send(request)), self.origin)

    def download(
        self,
        path: str | Path,
        format: str = "original",  # noqa: A002 - the API's name
        columns: Sequence[str] = (),
        *,
        raw: bool = False,
    ) -> Path:
        """Write it into a file: original, csv, parquet, jsonl, manifest or zip. Raises ApiError.

        `columns` to add are previous_label and reviewed_by. Texts of csv and manifest that a spreadsheet would compute have an
        apostrophe before them; `raw` leaves them as they are.
        """
        added = ",".join(columns) or None
        request = get("datasets", self.id, "download", format=format, columns=added, raw=raw or None)
        self._transport.save(request, Path(path))
        return Path(path)

    def delete(self) -> None:
        """Delete it. Raises Conflict while a job uses it."""
        self._transport.send(delete("datasets", self.id))
