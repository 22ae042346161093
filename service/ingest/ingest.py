"""From any uploaded file to one canonical Parquet file, in two passes, with memory that does not grow with the file."""

import gc
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from service.domain.dataset import (
    ClientWarning,
    Column,
    DatasetSpec,
    Feature,
    ImageKind,
    Inferred,
    Modality,
    Recording,
)
from service.ingest.account import columns_of
from service.ingest.canonical import WriteCounts, write_canonical
from service.ingest.detect import open_upload
from service.ingest.faults import bad_spec, invalid, listed, translated_errors
from service.ingest.labels import check_classes
from service.ingest.limits import Limits
from service.ingest.one_hot import join_label_columns
from service.ingest.roles import Plan, check_names, make_plan
from service.ingest.source import RowSource, Upload
from service.ingest.survey import Survey, survey_columns
from service.store.blobs import VOTES_FILE

_RARE = 5
_GC_THRESHOLDS = (50_000, 20, 50)  # Python's own are (700, 10, 10)


@dataclass(frozen=True)
class Ingested:
    """Description of an ingested upload, with the fields of `DatasetInfo`."""

    modality: Modality
    rows: int
    classes: list[str]
    class_counts: dict[str, int]
    features: list[Feature]
    splits: dict[str, int]
    skipped_rows: int
    inferred: Inferred
    warnings: list[ClientWarning]
    columns: list[Column]
    content_digest: str
    recording: Recording | None = None
    images: ImageKind | None = None


def ingest(source: Path, filename: str, spec: DatasetSpec, data: Path, skipped: Path, limits: Limits) -> Ingested:
    """Read the file at `source`, which the client calls `filename`, and write the canonical file `data`.

    `skipped` gets the rows that were left out, one `SkippedRow` as JSON a line. Where it is known who gave the labels, the file
    `VOTES_FILE` is beside `data`.

    Raises `UnreadableType`, `Malformed` (the file is broken), `Invalid` (it or the spec cannot be used), `TooLarge`,
    `StorageFull`. After any of them none of the files is there. Scratch files lie beside `data` until the end.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    with (
        translated_errors(),
        _collecting_rarely(),
        tempfile.TemporaryDirectory(prefix=".ingest-", dir=data.parent) as folder,
    ):
        scratch = Path(folder)
        upload = Upload(source, filename, spec, limits, scratch)
        opened = open_upload(upload)
        _check_header(opened, spec)
        table, spec = join_label_columns(opened, spec)
        if table.columns is not None:
            check_names(spec, table.columns)
        survey = survey_columns(table, spec, limits, scratch)
        _check_rows(survey)
        table = replace(table, warnings=(*table.warnings, *table.counted()))
        plan = make_plan(table, survey, spec, limits)
        _check_ids(plan, survey, table)
        made = scratch / "data"
        plan, written = _write(table, plan, made, scratch / "skipped", limits)
        place(((scratch / "skipped", skipped), *moved_votes(made, data), (made, data)))
    return _summary(plan, written, columns_of(plan, survey, spec), headed=spec.header)


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Let Python look for garbage in cycles less often: rows and members of archives are many objects and no cycles."""
    before = gc.get_threshold()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _check_header(source: RowSource, spec: DatasetSpec) -> None:
    if spec.header is False and not source.null_words:
        raise bad_spec("header", f"only text tables (CSV, TSV) are read without a header; this is {source.format}")


def _check_rows(survey: Survey) -> None:
    if survey.rows == 0:
        first = survey.first_skipped
        why = f"; the first of them, {first.where}: {first.reason}" if first else ""
        raise invalid(f"no row can be used{why}" if first else "there are 0 rows; at least 2 of 2 classes are needed")


def _check_ids(plan: Plan, survey: Survey, source: RowSource) -> None:
    pair = survey.repeats.get(plan.id) if plan.id is not None else None
    if pair is not None:
        places = _places(source, pair)
        raise invalid(
            f"ids must be unique, but {places[0]} and {places[1]} have the same {plan.id!r}; "
            "make them differ, or name another column as spec.id",
            places[1],
            f"column {plan.id}",
        )


def _places(source: RowSource, positions: tuple[int, int]) -> list[str]:
    """Names of the rows at these positions, such as "line 17"."""
    found, start = [], 0
    for batch in source.batches(False):
        in_batch = [position - start for position in positions if start <= position < start + batch.rows.num_rows]
        found += [batch.where(position) for position in in_batch]
        start += batch.rows.num_rows
        if len(found) == len(positions):
            break
    return found


def _write(source: RowSource, plan: Plan, data: Path, skipped: Path, limits: Limits) -> tuple[Plan, WriteCounts]:
    """Write the canonical file; write it again where a class has no usable row, without that class."""
    while True:
        written = write_canonical(source, plan, data, skipped, data.with_name(VOTES_FILE), limits)
        if written.rows == 0 and written.first_skipped is not None:
            first = written.first_skipped
            raise invalid(f"no row can be used; the first, {first.where}: {first.reason}", first.where)
        used = tuple(name for name in plan.classes if written.labels[name])
        if used == plan.classes or plan.stated is not None:
            return plan, written
        plan = replace(plan, classes=used)
        check_classes(plan.label, plan.classes)


def moved_votes(made: Path, data: Path) -> tuple[tuple[Path, Path], ...]:
    """The move of the votes beside the file `made` to beside `data`; none where there are no votes."""
    votes = made.with_name(VOTES_FILE)
    return ((votes, data.with_name(VOTES_FILE)),) if votes.exists() else ()


def place(moves: tuple[tuple[Path, Path], ...]) -> None:
    """Move finished files to their places: all of them or none."""
    done: list[Path] = []
    try:
        for made, target in moves:
            done.append(target)
            shutil.move(made, target)
    except OSError:
        for target in done:
            target.unlink(missing_ok=True)
        raise


def _summary(plan: Plan, written: WriteCounts, columns: list[Column], *, headed: bool | None) -> Ingested:
    return Ingested(
        modality=plan.modality,
        rows=written.rows,
        classes=list(plan.classes),
        class_counts={name: written.labels[name] for name in plan.classes},
        features=[Feature(name=one.name, kind=one.kind, column=one.column) for one in plan.inputs],
        splits=dict(sorted(written.splits.items())),
        skipped_rows=written.skipped,
        inferred=plan.inferred,
        warnings=[*plan.warnings, *_warnings(plan, written, headed=headed)],
        columns=columns,
        content_digest=written.content_digest,
        recording=None if plan.stated is None else plan.stated.recording,
        images=written.appearance.kind,
    )


def _warnings(plan: Plan, written: WriteCounts, *, headed: bool | None) -> Iterator[ClientWarning]:
    """Warnings about the rows that were written. `headed` is what the client says of a header."""
    if headed is None and plan.label in plan.classes and plan.inferred.format.startswith("csv"):
        yield ClientWarning(
            code="header_looks_like_data",
            detail=f"the label column is called {plan.label!r} as one of its classes is: the first line may be data; "
            "where it is a sample, set spec.header to false",
        )
    if written.spaced_labels:
        yield ClientWarning(
            code="stripped_labels",
            detail=f"{written.spaced_labels:,} labels had spaces around them, which were removed",
        )
    rare = [f"{name} ({written.labels[name]})" for name in plan.classes if written.labels[name] < _RARE]
    if rare:
        yield ClientWarning(code="rare_class", detail=f"classes with fewer than {_RARE} rows: {listed(rare)}")
    # Two samples may well have equal predictions.
    if written.repeated and [one.name for one in plan.inputs] != ["pred_probs"]:
        yield ClientWarning(
            code="repeated_rows", detail=f"{written.repeated:,} rows repeat an earlier one, label included"
        )
    if written.skipped:
        yield ClientWarning(
            code="skipped_rows",
            detail="1 row was skipped, with its reason"
            if written.skipped == 1
            else f"{written.skipped:,} rows were skipped, each with its reason",
        )
