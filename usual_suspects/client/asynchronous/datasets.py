"""A dataset of the service."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from usual_suspects.client.asynchronous.pages import AsyncPages, model
from usual_suspects.client.asynchronous.transport import AsyncTransport
from usual_suspects.client.conversion import to_model
from usual_suspects.client.models import DatasetInfo, DatasetSample, SkippedRow, VersionList
from usual_suspects.client.names import sample_name
from usual_suspects.client.requests import create, delete, get
from usual_suspects.client.submissions.prepared import Origin


class AsyncDataset:
    """A dataset of the service, as it was when it was read; `info` says what is in it."""

    def __init__(self, transport: AsyncTransport, info: DatasetInfo, origin: Origin | None = None) -> None:
        self._transport, self.info, self.origin = transport, info, origin

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.info.name!r}: {self.info.rows} rows, {len(self.info.classes)} classes>"

    @property
    def id(self) -> str:
        """Its id: ds_…."""
        return self.info.id

    async def sample(self, sample: Any) -> DatasetSample:
        """One row, by its id or its value in the index of the frame. Raises ApiError."""
        name = sample_name(sample, self.origin)
        return to_model(DatasetSample, await self._transport.send(get("datasets", self.id, "samples", name)))

    async def media(self, sample: Any) -> bytes:
        """The image or text of a sample. Raises ApiError."""
        async with self._transport.opened(
            get("datasets", self.id, "samples", sample_name(sample, self.origin), "media")
        ) as blocks:
            return b"".join([block async for block in blocks])

    def skipped(self) -> AsyncPages[SkippedRow]:
        """Rows that were left out, and why."""
        return AsyncPages(self._transport, get("datasets", self.id, "skipped"), model(SkippedRow))

    def verified(self) -> AsyncPages[str]:
        """Ids of the samples that people kept or relabelled."""
        return AsyncPages(self._transport, get("datasets", self.id, "verified"), str)

    async def versions(self) -> VersionList:
        """Corrected datasets that were made of it. Raises ApiError."""
        return to_model(VersionList, await self._transport.send(get("datasets", self.id, "versions")))

    async def make_version(self, job: str, apply: str = "reviews") -> "AsyncDataset":
        """The dataset as the reviews of a job correct it, or, with `apply` suggestions, also its suggestions. Raises ApiError."""
        request = create({"job": job, "apply": apply}, "datasets", self.id, "versions")
        return AsyncDataset(self._transport, to_model(DatasetInfo, await self._transport.send(request)), self.origin)

    async def download(
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
        await self._transport.save(request, Path(path))
        return Path(path)

    async def delete(self) -> None:
        """Delete it. Raises Conflict while a job uses it."""
        await self._transport.send(delete("datasets", self.id))
