"""The client of the service: submits data, and finds jobs and datasets."""

import os
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Self, Unpack

from usual_suspects.client import requests
from usual_suspects.client.asynchronous.datasets import AsyncDataset
from usual_suspects.client.asynchronous.jobs import AsyncJob
from usual_suspects.client.asynchronous.pages import AsyncPages, model
from usual_suspects.client.asynchronous.transport import AsyncTransport
from usual_suspects.client.asynchronous.waiting import work
from usual_suspects.client.conversion import to_model
from usual_suspects.client.errors import Invalid
from usual_suspects.client.events import Update
from usual_suspects.client.models import (
    Connection,
    DatasetInfo,
    DatasetOptions,
    DeliveryView,
    JobOptions,
    JobView,
    ModelList,
    NetworkInfo,
    Readiness,
    SignalKindList,
)
from usual_suspects.client.spec import SubmitOptions, dataset_spec, job_spec, named_by, with_sample_names
from usual_suspects.client.submissions.prepared import Origin

DEFAULT_URL = "http://127.0.0.1:8000"


class AsyncClient:
    """Client of the service at `url`, with an API key where it asks for one. Use it in a `with` block, or close it.

    Left out, they are those of SUSPECTS_URL and SUSPECTS_KEY. Requests that fail for a passing reason are sent up to `retries` times
    more; what makes something is made once. Every method that asks the service raises ApiError, or one of its kinds.
    """

    def __init__(self, url: str | None = None, key: str | None = None, *, retries: int = 3) -> None:
        address = url or os.environ.get("SUSPECTS_URL") or DEFAULT_URL
        self._transport = AsyncTransport(address, key or os.environ.get("SUSPECTS_KEY"), retries)
        self.url = self._transport.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def submit(
        self,
        data: Any,
        y: Any = None,
        *,
        spec: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> AsyncJob:
        """Upload data and submit a job that ranks their samples.

        `data` is a frame of pandas or polars, an Arrow table, NumPy arrays `x` and `y`, a Hugging Face or torch Dataset, a folder, a
        file, a URL, a Dataset of the service or its id. `y` are labels that are not in the data. Options are those of the dataset (`label`,
        `id`, `split` …) and of the job (`model`, `training`, `reference` …); `spec` has fields of POST /jobs beside them. Raises
        UnsuitableData, Invalid, ApiError.
        """
        from usual_suspects.client.submissions.forms import prepare  # pyarrow, which requests alone do not need

        of_dataset, of_job = job_spec(options, spec)
        if _is_address(data):
            data = await self._fetched(data, dataset_spec(of_dataset, None, of_job.get("name")))
        stored = _stored(data)
        if stored is not None:
            origin = data.origin if isinstance(data, AsyncDataset) else None
            request = requests.create(
                {**with_sample_names(of_job, origin), "dataset": stored}, "jobs", key=idempotency_key
            )
            return self._job(await self._transport.send(request), origin)
        with tempfile.TemporaryDirectory() as folder:
            prepared = await work(prepare, data, y, of_dataset.get("label"), Path(folder))
            dataset = dataset_spec(of_dataset, prepared, of_job.get("name"))
            origin = named_by(prepared.origin, dataset.get("id"))
            body = {"name": prepared.name, **with_sample_names(of_job, origin), "dataset": dataset}
            request = requests.upload(prepared.file, body, "jobs", key=idempotency_key)
            return self._job(await self._transport.send(request), origin)

    async def submit_project(
        self, connection: str, project: int, *, spec: Mapping[str, Any] | None = None, **options: Unpack[JobOptions]
    ) -> AsyncJob:
        """Submit a job over the labelled tasks of a labelling tool's project; `spec` may hold from_name and annotation_policy."""
        body = {**job_spec(options, spec)[1], "connection": connection, "project": project}
        return self._job(await self._transport.send(requests.create(body, "jobs")))

    async def upload(
        self, data: Any, y: Any = None, *, name: str | None = None, **options: Unpack[DatasetOptions]
    ) -> AsyncDataset:
        """Upload data, as `submit` takes them, or have a URL fetched, without a job."""
        from usual_suspects.client.submissions.forms import prepare

        if _is_address(data):
            return await self._fetched(data, dataset_spec(options, None, name))
        with tempfile.TemporaryDirectory() as folder:
            prepared = await work(prepare, data, y, options.get("label"), Path(folder))
            dataset = dataset_spec(options, prepared, name)
            info = to_model(
                DatasetInfo, await self._transport.send(requests.upload(prepared.file, dataset, "datasets"))
            )
        return AsyncDataset(self._transport, info, named_by(prepared.origin, dataset.get("id") or info.inferred.id))

    async def job(self, job: str) -> AsyncJob:
        """A job by its id. Raises NotFound."""
        return self._job(await self._transport.send(requests.get("jobs", job)))

    def jobs(
        self, *, state: str | None = None, dataset: str | None = None, name: str | None = None, limit: int | None = None
    ) -> AsyncPages[AsyncJob]:
        """The jobs that match, the newest first. Of a reference by name each has 50 samples at most until it is refreshed."""
        request = requests.get("jobs", state=state, dataset=dataset, name=name)
        return AsyncPages(self._transport, request, self._job, limit)

    async def dataset(self, dataset: str) -> AsyncDataset:
        """A dataset by its id. Raises NotFound."""
        info = to_model(DatasetInfo, await self._transport.send(requests.get("datasets", dataset)))
        return AsyncDataset(self._transport, info)

    def datasets(self, *, limit: int | None = None) -> AsyncPages[AsyncDataset]:
        """The datasets, the newest first."""
        request = requests.get("datasets")
        return AsyncPages(
            self._transport, request, lambda value: AsyncDataset(self._transport, to_model(DatasetInfo, value)), limit
        )

    async def connect(self, url: str, token: str, *, name: str | None = None, kind: str = "label_studio") -> Connection:
        """Connect a labelling tool. The token is stored encrypted and never shown."""
        body = {"kind": kind, "url": url, "token": token, **({} if name is None else {"name": name})}
        return to_model(Connection, await self._transport.send(requests.create(body, "connections")))

    def connections(self) -> AsyncPages[Connection]:
        """Connected labelling tools, the newest first."""
        return AsyncPages(self._transport, requests.get("connections"), model(Connection))

    async def disconnect(self, connection: str) -> None:
        """Forget a labelling tool."""
        await self._transport.send(requests.delete("connections", connection))

    def networks(self) -> AsyncPages[NetworkInfo]:
        """Uploaded networks, the newest first."""
        return AsyncPages(self._transport, requests.get("networks"), model(NetworkInfo))

    def deliveries(self, *, state: str | None = None, job: str | None = None) -> AsyncPages[DeliveryView]:
        """Messages to webhooks, the newest first."""
        return AsyncPages(self._transport, requests.get("deliveries", state=state, job=job), model(DeliveryView))

    async def models(self) -> ModelList:
        """The models that a job may use."""
        return to_model(ModelList, await self._transport.send(requests.get("models")))

    async def signals(self) -> SignalKindList:
        """The signals that a job may compute."""
        return to_model(SignalKindList, await self._transport.send(requests.get("signals")))

    async def readiness(self) -> Readiness:
        """Whether jobs can be computed now. Raises Unavailable where they cannot."""
        return to_model(Readiness, await self._transport.send(requests.get("readyz")))

    # The API as it is, for what has no method above: `path` are the parts of a path, unquoted, and answers are JSON objects.

    async def get(self, *path: str, **query: Any) -> dict[str, Any]:
        """GET a JSON object. Raises ApiError."""
        return dict(await self._transport.send(requests.get(*path, **query)))

    async def post(self, *path: str) -> dict[str, Any]:
        """POST without a body. Raises ApiError."""
        return dict(await self._transport.send(requests.act(*path)))

    async def post_json(self, body: Any, *path: str) -> dict[str, Any]:
        """POST a JSON body. Raises ApiError."""
        return dict(await self._transport.send(requests.create(body, *path)))

    async def post_file(self, file: Path, spec: Mapping[str, Any] | None, *path: str) -> dict[str, Any]:
        """POST a file, with its spec. Raises ApiError."""
        return dict(await self._transport.send(requests.upload(file, spec, *path)))

    async def corrected_version(self, job: str, apply: str = "reviews") -> dict[str, Any]:
        """The corrected dataset of a completed job, made unless the same is there. Raises ApiError."""
        dataset = (await self.get("jobs", job))["spec"]["dataset"]
        return await self.post_json({"job": job, "apply": apply}, "datasets", dataset, "versions")

    async def corrected_dataset(self, job: str, apply: str = "reviews") -> dict[str, Any]:
        """The corrected dataset of a completed job; where there is nothing to correct, its dataset. Raises ApiError."""
        try:
            return await self.corrected_version(job, apply)
        except Invalid as error:
            if "nothing_to_apply" not in error.members:
                raise
        return dict((await self.get("jobs", job))["dataset"])

    async def delete(self, *path: str) -> None:
        """DELETE. Raises ApiError."""
        await self._transport.send(requests.delete(*path))

    async def save(self, output: Path, *path: str, **query: Any) -> None:
        """GET into a file, streamed; the file appears when it is complete. Raises ApiError."""
        await self._transport.save(requests.get(*path, **query), output)

    async def stream(self, *path: str, **query: Any) -> AsyncGenerator[bytes]:
        """GET a file in pieces. Raises ApiError."""
        async with self._transport.opened(requests.get(*path, **query)) as blocks:
            async for block in blocks:
                yield block

    async def watch(self, job: str, timeout: float | None = None) -> AsyncGenerator[Update]:
        """Events of a job until it ends; a broken stream is resumed. Raises ApiError."""
        async with aclosing(self._transport.watch(job, timeout)) as updates:
            async for update in updates:
                yield update

    async def upload_network(self, file: str | Path) -> NetworkInfo:
        """Upload weights or an exported program."""
        return to_model(NetworkInfo, await self._transport.send(requests.upload(Path(file), None, "networks")))

    async def _fetched(self, url: str, spec: Mapping[str, Any]) -> AsyncDataset:
        request = requests.create({"url": url, "spec": spec}, "datasets")
        return AsyncDataset(self._transport, to_model(DatasetInfo, await self._transport.send(request)))

    def _job(self, value: Any, origin: Origin | None = None) -> AsyncJob:
        view = to_model(JobView, value)
        origin = origin and named_by(origin, view.dataset.inferred.id)
        return AsyncJob(self._transport, view, origin)


def _is_address(data: Any) -> bool:
    """Whether the service is to fetch the data."""
    return isinstance(data, str) and data.lower().startswith(("http://", "https://"))


def _stored(data: Any) -> str | None:
    """The id of a dataset of the service that is meant."""
    if isinstance(data, AsyncDataset):
        return data.id
    return data if isinstance(data, str) and data.startswith("ds_") and not Path(data).exists() else None
