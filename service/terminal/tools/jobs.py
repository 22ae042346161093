"""Tools for jobs: submit, list, wait, cancel, retry, run again, delete."""

import time
from functools import partial
from typing import Annotated, Any, Literal

import anyio
from mcp.server.mcpserver import Context
from pydantic import Field

from service.terminal.submission import put, submit_project, submit_source
from service.terminal.tools.answer import Done, Json, PageAnswer, ToolAnswer, WarningAnswer, rounded, warnings_of
from service.terminal.tools.arguments import Cursor, Job, Limit
from usual_suspects.client import ENDED, ApiError, Client

_POLL_S = 1.0


class JobRow(ToolAnswer):
    """A job in short."""

    id: str
    name: str
    state: str = Field(description="queued, preparing, training, scoring, ranking, completed, failed or cancelled.")
    fraction: float = Field(description="Share of its work that is done.")
    dataset: str
    dataset_name: str
    model: str
    created_at: str


class JobAnswer(JobRow):
    """A job: where it stands, and in short what it found."""

    detail: str = Field(description="What it is doing now.")
    eta_seconds: float | None = Field(None, description="Time that is left.")
    finished_at: str | None = None
    error: str | None = Field(None, description="Why it failed.")
    modality: str
    rows: int
    classes: list[str] = Field(description="At most 100.")
    samples: int | None = Field(None, description="How many were ranked.")
    accuracy: dict[str, float | None] | None = Field(
        None, description="Of the model, on training and reference samples."
    )
    estimates: dict[str, dict[str, Any]] | None = Field(None, description="How many samples are wrong, with intervals.")
    warnings: list[WarningAnswer] = Field([], description="What the numbers cannot be trusted for, and what to do.")
    next_job: str | None = Field(None, description="The job that ran over its corrected dataset.")
    loop_trouble: str | None = Field(None, description="Why it cannot be run again.")
    report: str | None = Field(None, description="URL of its report for people.")


def _row(job: Json) -> dict[str, Any]:
    return {
        **{name: job[name] for name in ("id", "name", "state", "created_at")},
        "fraction": rounded(job["progress"]["fraction"]),
        "dataset": job["dataset"]["id"],
        "dataset_name": job["dataset"]["name"],
        "model": job["spec"]["model"]["name"],
    }


def job_answer(client: Client, job: Json) -> JobAnswer:
    """A job of the API in short."""
    progress, dataset, result, links = job["progress"], job["dataset"], job["result"] or {}, job["links"]
    model = result.get("model") or {}
    error = job["error"] or {}
    return JobAnswer(
        **_row(job),
        detail=progress["detail"],
        eta_seconds=rounded(progress["eta_seconds"]),
        finished_at=job["finished_at"],
        error=error.get("detail") or error.get("code"),
        modality=dataset["modality"],
        rows=dataset["rows"],
        classes=dataset["classes"][:100],
        samples=result.get("samples"),
        accuracy={name: rounded(model.get(f"{name}_accuracy")) for name in ("train", "reference")} if result else None,
        estimates=rounded(result.get("estimates")),
        warnings=warnings_of(result.get("warnings") or dataset["warnings"]),
        next_job=(links["next"] or "").rpartition("/")[2] or None,
        loop_trouble=job["loop_trouble"],
        report=f"{client.url}{links['report']}" if links["report"] else None,
    )


def submit(
    client: Client,
    source: Annotated[
        str | None,
        Field(
            description="Path of a file on the machine of this tool (CSV, Excel, JSON, Parquet, ARFF, NPZ, or an archive of images), an "
            "http or https URL that the service fetches, or the id of a dataset: ds_…"
        ),
    ] = None,
    label: Annotated[str | None, Field(description="Column of the class; inferred when left out.")] = None,
    id_column: Annotated[str | None, Field(description="Column of the samples' ids.")] = None,
    split: Annotated[str | None, Field(description="Column that says train or test.")] = None,
    model: Annotated[str | None, Field(description="One of `models`; chosen by the data when left out.")] = None,
    epochs: Annotated[int | None, Field(ge=1, description="Number of epochs.")] = None,
    name: Annotated[str | None, Field(description="Name of the job in lists.")] = None,
    connection: Annotated[
        str | None, Field(description="Id of a connected labelling tool instead of a source: con_…, with `project`.")
    ] = None,
    project: Annotated[int | None, Field(ge=1, description="The labelling tool's number of the project.")] = None,
    options: Annotated[
        dict[str, Any] | None,
        Field(
            description='Other fields of POST /jobs, such as {"reference": {"split": "test"}}, {"reference": {"samples": ["row-3"]}}, '
            '{"training": {"seed": 1}}, {"glitches": [{"kind": "mislabeled_uniform", "rate": 0.1}]}. The arguments above override it.'
        ),
    ] = None,
) -> JobAnswer:
    """Upload a labelled dataset and start a job that ranks its samples by how suspicious their labels are.

    The answer comes at once; follow it with `wait`.
    """
    body = dict(options or {})
    put(body, "dataset", label=label, id=id_column, split=split)
    put(body, "model", name=model)
    put(body, "training", epochs=epochs)
    if name is not None:
        body["name"] = name
    if source is not None and connection is None and project is None:
        return job_answer(client, submit_source(client, source, body))
    if source is None and connection is not None and project is not None:
        return job_answer(client, submit_project(client, connection, project, body))
    raise ApiError("No samples", "give `source`; or `connection` and `project`, without `source`")


def jobs(
    client: Client,
    state: Annotated[str | None, Field(description="Only jobs in this state, such as completed.")] = None,
    name: Annotated[str | None, Field(description="Only jobs of exactly this name.")] = None,
    dataset: Annotated[str | None, Field(description="Only jobs over this dataset: ds_…")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> PageAnswer[JobRow]:
    """List the jobs, newest first."""
    answer = client.get("jobs", state=state, name=name, dataset=dataset, limit=limit, cursor=cursor)
    rows = [JobRow(**_row(job)) for job in answer["items"]]
    return PageAnswer[JobRow](items=rows, total=answer["total"], next=answer["next"])


def job(client: Client, job: Job) -> JobAnswer:
    """Show one job: state, progress, and when it is completed its estimates, accuracy and warnings."""
    return job_answer(client, client.get("jobs", job))


async def wait(
    client: Client,
    context: Context[Any, Any],
    job: Job,
    seconds: Annotated[
        float, Field(ge=0, le=600, description="Longest time to wait; then it answers as it stands.")
    ] = 45,
    until: Annotated[
        Literal["ended", "next_job"],
        Field(description="ended: the job has ended. next_job: after `rerun`, the next job has begun."),
    ] = "ended",
) -> JobAnswer:
    """Wait until a job has ended, and show it. Call it again as long as `state` is none of completed, failed, cancelled."""
    deadline = time.monotonic() + seconds
    while True:
        found = job_answer(client, await anyio.to_thread.run_sync(partial(client.get, "jobs", job)))
        reached = found.state in ENDED if until == "ended" else bool(found.next_job or found.loop_trouble)
        if reached or time.monotonic() >= deadline:
            return found
        await context.report_progress(found.fraction, 1.0, f"{found.state} {found.detail}".strip())
        await anyio.sleep(_POLL_S)


def cancel(client: Client, job: Job) -> JobAnswer:
    """Cancel a job that has not ended. `retry` continues it."""
    return job_answer(client, client.post("jobs", job, "cancel"))


def retry(client: Client, job: Job) -> JobAnswer:
    """Queue a failed or cancelled job again; it continues from its last checkpoint."""
    return job_answer(client, client.post("jobs", job, "retry"))


def rerun(client: Client, job: Job) -> JobAnswer:
    """Run a job again over its dataset as the reviews correct it. The next job begins once nobody has reviewed for a minute.

    `wait` with `until` next_job waits for it; its id is `next_job` then.
    """
    return job_answer(client, client.post("jobs", job, "rerun"))


class RescoringAnswer(ToolAnswer):
    """A rescoring of a job: `state` is queued, running, completed or failed."""

    job: str
    version: int = Field(description="Of the ranking that it makes.")
    state: str


def rescore(client: Client, job: Job) -> RescoringAnswer:
    """Score the samples of a job again by what was verified; nothing is trained. At least 10 labels must be kept or changed.

    It takes seconds. `job` shows as `rescored` which version the ranking is.
    """
    return RescoringAnswer(job=job, **client.post("jobs", job, "rescore"))


def delete(client: Client, job: Job) -> Done:
    """Delete a job that has ended, with its ranking, its reviews and its files. This cannot be undone."""
    client.delete("jobs", job)
    return Done(id=job, done="deleted")


class ModelAnswer(ToolAnswer):
    """A model that a job can train."""

    name: str
    title: str
    modality: str
    cost: str
    default: bool = Field(description="Whether it is chosen for this kind of data when no model is named.")


def models(client: Client) -> PageAnswer[ModelAnswer]:
    """List the models that a job can train."""
    answer = client.get("models")
    return PageAnswer[ModelAnswer](
        items=[ModelAnswer.model_validate(one) for one in answer["items"]], total=answer["total"]
    )
