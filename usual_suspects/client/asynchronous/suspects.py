"""The ranking of a job: lazily by rows, or whole as a table."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from usual_suspects.client.asynchronous.pages import AsyncPages, model
from usual_suspects.client.asynchronous.transport import AsyncTransport
from usual_suspects.client.asynchronous.waiting import work
from usual_suspects.client.conversion import to_model
from usual_suspects.client.models import BulkRecorded, Suspect
from usual_suspects.client.names import class_name
from usual_suspects.client.requests import create, get


class AsyncSuspects(AsyncPages[Suspect]):
    """Rows of a ranking, the most suspicious first. Tables have the columns of the exports, see docs/your-data.md."""

    def __init__(
        self,
        transport: AsyncTransport,
        job: str,
        filters: Mapping[str, Any],
        limit: int | None = None,
        signals: Sequence[str] | None = None,
        class_name: Callable[[Any], str] = class_name,
    ) -> None:
        asked = {**filters, "signals": None if signals is None else ",".join(signals)}
        super().__init__(transport, get("jobs", job, "suspects", **asked), model(Suspect), limit)
        self._job, self._filters, self._asked, self._class = job, filters, asked, class_name

    async def to_arrow(self) -> Any:
        """An Arrow table. Raises ApiError."""
        from usual_suspects.client import rankings  # pyarrow, which rows alone do not need

        if self._limit is None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "ranking.parquet")
                await self.save(path)
                return await work(rankings.table_of_parquet, path)
        return await work(rankings.table_of_lines, await self._lines(self._limit))

    async def to_pandas(self) -> Any:
        """A pandas frame; `frame.iloc[suspects["index"]]` are the rows of the frame that was submitted. Raises ApiError."""
        from usual_suspects.client import rankings

        return await work(rankings.to_pandas, await self.to_arrow())

    async def to_polars(self) -> Any:
        """A polars frame. Raises ApiError."""
        from usual_suspects.client import rankings

        return await work(rankings.to_polars, await self.to_arrow())

    async def to_cleanlab(self) -> Any:
        """A pandas frame as of cleanlab: is_label_issue, label_quality, given_label, predicted_label, in the order of the upload.

        The index is the place in the upload, from 0. Samples that were held out are not in it. Raises ApiError.
        """
        from usual_suspects.client import rankings

        every = AsyncSuspects(self._transport, self._job, {**self._filters, "by": "mislabeled"}, self._limit, ())
        return await work(rankings.to_cleanlab, await every.to_arrow())

    async def review(
        self, decision: str, label: Any = None, *, reviewer: str | None = None, dry_run: bool = False
    ) -> BulkRecorded:
        """Decide on every sample that the filters match, at once. `relabel` without a label accepts what is suggested for each.

        `dry_run` counts only. `job.undo(batch)` takes it back. Raises ValueError where a limit was given, and ApiError.
        """
        if self._limit is not None:
            raise ValueError("a limit holds for lists: review([one.sample.id for one in …], decision) decides on these")
        named = None if label is None else self._class(label)
        said = {"decision": decision, "label": named, "reviewer": reviewer, "dry_run": dry_run}
        body: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        body["filter"] = {name: value for name, value in self._filters.items() if value is not None}
        return to_model(BulkRecorded, await self._transport.send(create(body, "jobs", self._job, "reviews", "bulk")))

    async def save(self, path: str | Path, format: str = "parquet", *, raw: bool = False) -> Path:  # noqa: A002 - the API's name
        """Write the whole ranking into a file: csv, jsonl, parquet, cleanlab or a labelling tool's form.

        Texts of csv that a spreadsheet would compute have an apostrophe before them; `raw` leaves them as they are. Raises ValueError
        where a limit was given, and ApiError.
        """
        if self._limit is not None:
            raise ValueError(
                "a limit holds for rows and tables: to_pandas().to_csv(path) writes these; min_score filters a file"
            )
        request = get("jobs", self._job, "suspects", **self._asked, format=format, raw=raw or None)
        await self._transport.save(request, Path(path))
        return Path(path)

    async def _lines(self, limit: int) -> list[str]:
        request = get("jobs", self._job, "suspects", **self._asked, format="jsonl")
        kept = b""
        async with self._transport.opened(request) as blocks:
            async for block in blocks:
                kept += block
                if kept.count(b"\n") >= limit:
                    break
        return kept.decode().split("\n")[:-1][:limit]
