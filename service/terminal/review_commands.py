"""The command for reviews: `suspects review`, of one sample or of a table of decisions."""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO, get_args

import typer

from service.domain.review import DecisionKind
from service.terminal.arguments import AsJson, Job, Quiet
from service.terminal.console import Printer
from usual_suspects.client import ApiError, Client

app = typer.Typer()

_KINDS: tuple[str, ...] = get_args(DecisionKind)
_HEADER = ("sample_id", "decision", "label", "reviewer")


@app.command()
def review(
    context: typer.Context,
    job: Job,
    sample: Annotated[str | None, typer.Argument(help="Id of a sample; left out, decisions come from a table.")] = None,
    decision: Annotated[str | None, typer.Option(help=f"One of {', '.join(_KINDS)}.")] = None,
    label: Annotated[str | None, typer.Option(help="The right class; only with relabel.")] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", help="CSV file of sample_id,decision,label,reviewer; - or left out: stdin."),
    ] = None,
    reviewer: Annotated[str | None, typer.Option(help="Who decides, where the table does not say it.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say what is right: of one sample, or of all in a table, such as an export whose column `decision` was filled in.

    All decisions are recorded, or none.
    """
    if sample is not None:
        if decision is None or file is not None:
            raise typer.BadParameter("a sample goes with --decision, and not with --file")
        found = {"": _decision({"sample_id": sample, "decision": decision, "label": label}, reviewer)}
    elif decision is not None or label is not None:
        raise typer.BadParameter("--decision and --label are about one sample: name it after the job")
    else:
        found = _read(file, reviewer)
    answer = _record(context.obj, job, found)
    printer = Printer(as_json, quiet)
    if quiet:
        printer.rows(answer, found.values(), [], name="sample_id")
    else:
        printer.line(answer, "", f"{answer['recorded']} recorded; reviewed so far: {answer['reviewed']}")


def _record(client: Client, job: str, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Record decisions by the lines that they stand in. Raises ApiError, whose faults name the lines."""
    lines = list(found)
    try:
        return client.post_json(list(found.values()), "jobs", job, "reviews")
    except ApiError as error:
        faults = [{**fault, "loc": _place(fault["loc"], lines)} for fault in error.errors]
        raise ApiError(error.title, error.detail, faults) from error


def _place(loc: Sequence[str | int], lines: Sequence[str]) -> list[str | int]:
    """The place of a fault, its line instead of its number in the list."""
    match loc:
        case [int(number), *rest] if number < len(lines):
            return [*filter(None, [lines[number]]), *rest]
        case _:
            return [*loc]


def _read(file: str | None, reviewer: str | None) -> dict[str, dict[str, Any]]:
    """Decisions of a CSV file, or of stdin, by the lines that they stand in. Raises ApiError."""
    if file in (None, "-"):
        if sys.stdin.isatty():
            raise typer.BadParameter("name a sample, or give a table: --file decisions.csv, or a table to stdin")
        return _decisions(sys.stdin, "stdin", reviewer)
    path = Path(str(file))
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _decisions(stream, str(path), reviewer)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ApiError("Cannot read the file", f"{path}: {reason}") from error


def _decisions(stream: TextIO, name: str, reviewer: str | None) -> dict[str, dict[str, Any]]:
    rows = _rows(stream, name)
    found = {f"{name} line {line}": _decision(row, reviewer) for line, row in rows if row.get("decision")}
    if not found:
        raise ApiError("No decisions", f"{name} has no row with a decision; expected {','.join(_HEADER)}")
    return found


def _rows(stream: TextIO, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table by its header, or by the order of ours where it has none. Raises ApiError."""
    reader = csv.reader(stream)
    first = [cell.strip(" \ufeff") for cell in next(reader, [])]  # spreadsheets begin a file with a byte order mark
    header: Sequence[str] = first
    if not {"sample_id", "decision"} <= set(first):
        if len(first) < 2 or first[1] not in _KINDS:
            msg = f"{name} line 1: expected the columns sample_id,decision,label, got {','.join(first) or 'nothing'}"
            raise ApiError("Not a table of decisions", msg)
        header = _HEADER
        yield 1, dict(zip(header, first, strict=False))
    for row in reader:
        if any(row):
            yield reader.line_num, dict(zip(header, row, strict=False))


def _decision(row: Mapping[str, str | None], reviewer: str | None) -> dict[str, Any]:
    """One decision as the API takes it. A table that was exported has `decided_label`, of kept samples too."""
    decision = (row.get("decision") or "").strip()
    label = row.get("label") or (row.get("decided_label") if decision == "relabel" else None)
    given = {"sample_id": row["sample_id"], "decision": decision, "label": label or None}
    return {**given, "reviewer": row.get("reviewer") or reviewer}
