"""What the command line shows: tables, progress, errors."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.client import ApiError, Client, Update

console = Console()
errors = Console(stderr=True)


def show_error(error: ApiError) -> None:
    """One block, with every field that is at fault."""
    lines = [error.detail] + [f"  {' › '.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors]
    errors.print(Panel("\n".join(lines), title=error.title, border_style="red", title_align="left"))


def watch(client: Client, job_id: str) -> dict[str, Any]:
    """Follow a job on the screen until it ends; gives it as it ended."""
    columns = (TextColumn("{task.fields[phase]:<10}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), TextColumn("{task.description}"), console=console) as progress:
        bar = progress.add_task("waiting for a worker", total=1.0, phase="queued")
        metrics = ""
        for update in client.watch(job_id):
            if update.kind == "metrics":
                metrics = f"loss {update.data['loss']:.3f}, accuracy {update.data['accuracy']:.1%}"
            elif update.kind == "progress":
                progress.update(bar, completed=update.data["fraction"], phase=update.data["phase"])
            elif update.data.get("state") == "completed":
                progress.update(bar, completed=1.0)
            detail = _detail(update) or progress.tasks[0].description.split(" · ")[0]
            phase = update.data.get("state", progress.tasks[0].fields["phase"])
            progress.update(bar, description=" · ".join(filter(None, (detail, metrics))), phase=phase)
    return client.get(f"/jobs/{job_id}")


def _detail(update: Update) -> str:
    return str(update.data.get("detail") or "") if update.kind == "progress" else ""


def suspects_table(answer: dict[str, Any], title: str) -> Table:
    """A page of a ranking."""
    planted = any(item.get("planted") for item in answer["items"])
    table = Table(title=title, title_justify="left")
    table.add_column("rank", justify="right")
    table.add_column("sample")
    table.add_column("given label")
    table.add_column("suggested label")
    table.add_column("score", justify="right")
    table.add_column("verdict")
    if planted:
        table.add_column("planted")
    for item in answer["items"]:
        suggested = f"{item['suggested_label']} ({item['suggested_confidence']:.0%})"
        cells = [str(item["rank"]), item["sample"]["id"], item["given_label"], suggested, f"{item['score']:.3f}"]
        cells.append(item["verdict"])
        if planted:
            glitch = item.get("planted")
            cells.append(f"[green]yes, was {glitch['original_label']}[/]" if glitch else "[dim]no[/]")
        table.add_row(*cells)
    return table


def detection_table(signals: Iterable[dict[str, Any]]) -> Table:
    """How well each signal found what was planted, best first."""
    table = Table(title="precision at the planted count", title_justify="left")
    table.add_column("signal")
    table.add_column("what it is")
    for name in ("precision", "average precision", "AUROC"):
        table.add_column(name, justify="right")
    found = [signal for signal in signals if signal.get("detection")]
    for signal in sorted(found, key=lambda signal: -signal["detection"]["precision"]):
        d = signal["detection"]
        style = "bold" if signal["headline"] else ""
        cells = (f"{d['precision']:.3f}", f"{d['average_precision']:.3f}", f"{d['auroc']:.3f}")
        table.add_row(signal["name"], signal["title"], *cells, style=style)
    return table


def simple_table(rows: Iterable[dict[str, Any]], columns: dict[str, str]) -> Table:
    """Rows of JSON as a table; `columns` maps titles to dotted paths."""
    table = Table()
    for title in columns:
        table.add_column(title)
    for row in rows:
        table.add_row(*(_at(row, path) for path in columns.values()))
    return table


def _at(row: Any, path: str) -> str:
    for part in path.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return "" if row is None else str(row)
