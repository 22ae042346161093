"""Progress of a job on stderr: a bar at a terminal, else a line for each phase."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn

from service.terminal.console import errors
from usual_suspects.client import ENDED, Client, Update

_WAITING = "waiting for a worker"


def watch(client: Client, job_id: str, *, silent: bool = False) -> dict[str, Any]:
    """Show a job's progress until it ends; returns the ended job. Raises ApiError."""
    if silent:
        for _ in client.watch(job_id):
            pass
    elif errors.is_terminal:
        _draw(client, job_id)
    else:
        _list(client, job_id)
    return client.get("jobs", job_id)


class _Standing:
    """Where a job stands, as far as its events say."""

    def __init__(self) -> None:
        self.phase, self.fraction, self.left = "queued", 0.0, ""
        self._detail, self._metrics = _WAITING, ""

    @property
    def text(self) -> str:
        """What it is doing, and how well."""
        return " · ".join(filter(None, (self._detail, self._metrics)))

    def take(self, update: Update) -> None:
        """Take an event in."""
        data: Mapping[str, Any] = update.data
        match update.kind:
            case "metrics":
                self._metrics = f"loss {data['loss']:.3f}, accuracy {data['accuracy']:.1%}"
            case "progress":
                seconds = data["eta_seconds"]
                self._detail = data["detail"] or self._detail
                self.phase, self.fraction = data["phase"], data["fraction"]
                self.left = "" if seconds is None else f"{seconds:.0f} s left"
            case _:
                self.phase = data["state"]
                self._detail = _WAITING if self.phase == "queued" else ""
                self.left = "" if self.phase in ENDED else self.left
                self.fraction = 1.0 if self.phase == "completed" else self.fraction


def _follow(client: Client, job_id: str, show: Callable[[_Standing], None]) -> None:
    standing = _Standing()
    for update in client.watch(job_id):
        standing.take(update)
        show(standing)


def _draw(client: Client, job_id: str) -> None:
    with Progress(
        TextColumn("{task.fields[phase]:<9}", markup=False),
        BarColumn(bar_width=14),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}", markup=False),
        console=errors,
    ) as progress:
        bar = progress.add_task("", total=1.0, phase="queued", left="")
        _follow(
            client,
            job_id,
            lambda at: progress.update(bar, completed=at.fraction, phase=at.phase, left=at.left, description=at.text),
        )


def _list(client: Client, job_id: str) -> None:
    shown = ""

    def show(at: _Standing) -> None:
        nonlocal shown
        if at.phase != shown:
            shown = at.phase
            errors.file.write(f"{' '.join(filter(None, (at.phase, f'{at.fraction:.0%}', at.text)))}\n")
            errors.file.flush()

    _follow(client, job_id, show)
