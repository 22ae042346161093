"""Output of the command line: tables, progress, errors.

Values from data are put into `Text`, so that rich does not read brackets in a label as markup.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from usual_suspects.client import ENDED, ApiError, Client

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


_WAITING = "waiting for a worker"


def show_error(title: str, detail: str, faults: Iterable[Mapping[str, Any]] = ()) -> None:
    """Print an error to stderr, with the fields that are not valid."""
    lines = [detail] + [f"  {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults]
    errors.print(Panel(Text("\n".join(lines)), title=Text(title), border_style="red", title_align="left"))


def show_api_error(error: ApiError) -> None:
    """Print a problem that the API reported, or why it cannot be reached."""
    show_error(error.title, error.detail, error.errors)


def watch(client: Client, job_id: str) -> dict[str, Any]:
    """Show a job's progress until it ends; returns the ended job. Raises ApiError."""
    with Progress(
        TextColumn("{task.fields[phase]:<9}", markup=False),
        BarColumn(bar_width=14),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}", markup=False),
        console=console,
    ) as progress:
        bar = progress.add_task("", total=1.0, phase="queued", left="")
        detail, metrics = _WAITING, ""
        for update in client.watch(job_id):
            match update.kind:
                case "metrics":
                    metrics = f"loss {update.data['loss']:.3f}, accuracy {update.data['accuracy']:.1%}"
                case "progress":
                    detail = update.data["detail"] or detail
                    _show_progress(progress, bar, update.data)
                case _:
                    detail = _WAITING if update.data["state"] == "queued" else ""
                    _show_state(progress, bar, update.data["state"])
            progress.update(bar, description=" · ".join(filter(None, (detail, metrics))))
    return client.get("jobs", job_id)


def _show_progress(progress: Progress, bar: TaskID, update: Mapping[str, Any]) -> None:
    seconds = update["eta_seconds"]
    left = "" if seconds is None else f"{seconds:.0f} s left"
    progress.update(bar, completed=update["fraction"], phase=update["phase"], left=left)


def _show_state(progress: Progress, bar: TaskID, state: str) -> None:
    progress.update(bar, phase=state)
    if state in ENDED:
        progress.update(bar, left="")
    if state == "completed":
        progress.update(bar, completed=1.0)


def suspects_table(answer: Mapping[str, Any], title: str) -> Table:
    """Table of a ranking's page; with planted glitches it has a column that shows them."""
    items = answer["items"]
    columns = ["sample", "given label", "suggested label", "score", "verdict"]
    if any(item["planted"] for item in items):
        columns.append("planted")
    table = _table(title, ["rank", *columns], right=("rank", "score"))
    for item in items:
        cells = {
            "sample": Text(item["sample"]["id"]),
            "given label": Text(item["given_label"]),
            "suggested label": Text(f"{item['suggested_label']} ({item['suggested_confidence']:.0%})"),
            "score": Text(f"{item['score']:.3f}"),
            "verdict": Text(item["verdict"]),
            "planted": _planted(item["planted"]),
        }
        table.add_row(str(item["rank"]), *(cells[name] for name in columns))
    return table


def _planted(glitch: Mapping[str, Any] | None) -> Text:
    if glitch is None:
        return Text("no", "dim")
    relabeled = glitch["kind"].startswith("mislabeled")
    return Text(f"yes, was {glitch['original_label']}" if relabeled else f"yes, {glitch['kind']}", "green")


def detection_table(signals: Iterable[Mapping[str, Any]]) -> Table:
    """Table of how well each signal finds the planted glitches, best first."""
    table = _table(
        "how well each signal finds what was planted",
        ["signal", "what it is", "precision", "average precision", "AUROC"],
        right=("precision", "average precision", "AUROC"),
    )
    found = [signal for signal in signals if signal.get("detection")]
    for signal in sorted(found, key=lambda signal: -(signal["detection"]["precision"] or 0)):
        scores = [signal["detection"][name] for name in ("precision", "average_precision", "auroc")]
        cells = ("" if score is None else f"{score:.3f}" for score in scores)
        table.add_row(signal["name"], signal["title"], *cells, style="bold" if signal["headline"] else "")
    return table


def simple_table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Table:
    """Table of JSON objects; `columns` maps titles to dotted paths."""
    table = _table(None, columns)
    for row in rows:
        table.add_row(*(Text(_at(row, path)) for path in columns.values()))
    return table


def _table(title: str | None, columns: Iterable[str], right: Iterable[str] = ()) -> Table:
    table = Table(title=None if title is None else Text(title), title_justify="left")
    for name in columns:
        # An id that is cut off cannot be used.
        kept = name in ("sample", "job", "dataset", "signal", "model")
        table.add_column(
            name, justify="right" if name in right else "left", overflow="fold" if kept else "ellipsis", no_wrap=kept
        )
    return table


def _at(row: Any, path: str) -> str:
    for part in path.split("."):
        row = row.get(part) if isinstance(row, Mapping) else None
    match row:
        case None:
            return ""
        case bool():
            return "yes" if row else ""
        case float():
            return f"{row:.4g}"
        case _:
            return str(row)
