"""Tools for labelling tools, networks and webhooks."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from service.terminal.tools.answer import Json, PageAnswer, ToolAnswer
from service.terminal.tools.arguments import Cursor, Job, Limit
from usual_suspects.client import Client


class ConnectionRow(BaseModel):
    """A connected labelling tool."""

    id: str
    kind: str
    name: str
    url: str
    created_at: str


class PushAnswer(ToolAnswer):
    """What was done in the labelling tool, or with `dry_run` would be done."""

    predictions: int = Field(description="Tasks with a prediction of this job.")
    written: int = Field(description="Predictions that were written now.")
    suspects: int = Field(description="Tasks in the project of suspects, or put back into the queue.")
    missing: int = Field(description="Ranked tasks that are no longer in the project.")
    url: str = Field(description="Where it is to be seen in the tool.")
    dry_run: bool


class UndoAnswer(ToolAnswer):
    """Tasks of a requeue that were taken out of the queue again."""

    restored: int
    kept: int


class ReconcileAnswer(ToolAnswer):
    """Decisions that were read from the labelling tool."""

    recorded: int = Field(description="Decisions that were new.")
    tasks: int
    outcomes: dict[str, int]


class NetworkRow(BaseModel):
    """An uploaded network."""

    id: str
    name: str
    kind: str
    created_at: str


class DeliveryRow(ToolAnswer):
    """A message to a webhook."""

    id: str
    job: str
    event: str
    state: str
    attempts: int
    error: str | None = None


def connections(client: Client, limit: Limit = 20, cursor: Cursor = None) -> PageAnswer[ConnectionRow]:
    """List the connected labelling tools. People connect them: `suspects connect`."""
    return PageAnswer[ConnectionRow](**_page(client.get("connections", limit=limit, cursor=cursor), ConnectionRow))


def push(
    client: Client,
    job: Job,
    mode: Annotated[
        Literal["predictions", "tab", "review_project", "requeue"],
        Field(
            description="predictions: suspicion and suggested class of each task. tab: also a tab sorted by suspicion. review_project: "
            "also the suspects in a project of their own. requeue: also put the suspects back into the queue."
        ),
    ] = "tab",
    limit: Annotated[int | None, Field(ge=1, description="Largest number of tasks, the most suspicious first.")] = None,
    dry_run: Annotated[bool, Field(description="Say what would be done, and do nothing.")] = False,
) -> PushAnswer:
    """Write the suspects of a job into the labelling tool that its tasks came from."""
    body = {"mode": mode, "dry_run": dry_run, **({} if limit is None else {"limit": limit})}
    return PushAnswer.model_validate(client.post_json(body, "jobs", job, "push"))


def push_undo(client: Client, job: Job) -> UndoAnswer:
    """Take the tasks of a requeue out of the labelling tool's queue again."""
    return UndoAnswer.model_validate(client.post("jobs", job, "push", "undo"))


def reconcile(client: Client, job: Job) -> ReconcileAnswer:
    """Read what people have decided in the labelling tool, as reviews of the job."""
    return ReconcileAnswer.model_validate(client.post("jobs", job, "reconcile"))


def networks(client: Client, limit: Limit = 20, cursor: Cursor = None) -> PageAnswer[NetworkRow]:
    """List the uploaded networks that a job can start from."""
    return PageAnswer[NetworkRow](**_page(client.get("networks", limit=limit, cursor=cursor), NetworkRow))


def deliveries(
    client: Client,
    state: Annotated[str | None, Field(description="Only those in this state: pending, delivered or dead.")] = None,
    job: Annotated[str | None, Field(description="Only those about this job.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> PageAnswer[DeliveryRow]:
    """List the messages to webhooks, newest first."""
    answer = client.get("deliveries", state=state, job=job, limit=limit, cursor=cursor)
    return PageAnswer[DeliveryRow](**_page(answer, DeliveryRow))


def delivery_retry(client: Client, delivery: Annotated[str, Field(description="Id of a message.")]) -> DeliveryRow:
    """Send a message to a webhook again that was given up."""
    return DeliveryRow.model_validate(client.post("deliveries", delivery, "retry"))


def _page(answer: Json, kind: type[BaseModel]) -> dict[str, Any]:
    items = [kind.model_validate(one) for one in answer["items"]]
    return {"items": items, "total": answer["total"], "next": answer["next"]}
