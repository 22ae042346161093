"""Corrected data in the form in which they were submitted."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from usual_suspects.client.corrected_files import FILE_FORMATS, format_of
from usual_suspects.client.models import DatasetInfo
from usual_suspects.client.submissions import torch_sets
from usual_suspects.client.submissions.forms import FORMS, READ, is_torch
from usual_suspects.client.submissions.parquet import mark_of
from usual_suspects.client.submissions.prepared import Origin, UnsuitableData, package


@dataclass(frozen=True)
class Correction:
    """What is downloaded, in which format of the API, and how it is read."""

    origin: Origin
    format: str

    @property
    def suffix(self) -> str:
        """The ending of the downloaded file."""
        return {"parquet": ".parquet", "manifest": ".csv"}.get(self.format, "")


def plan(wanted: str | None, path: Any, origin: Origin | None, data: Any, dataset: DatasetInfo) -> Correction | str:
    """How corrected data come back, or the format of the API of a file, which is written as it is. Raises UnsuitableData.

    What was submitted in this session comes back in its own form. `data` is the torch Dataset or the folder that was submitted in
    another one. A file at `path` has the form of its ending.
    """
    asked = _format_of_file(wanted, path, dataset)
    if asked is not None:
        return asked
    if data is not None:
        origin = Origin("torch" if is_torch(data) else "folder", source=data)
    known = origin or Origin(wanted or "path")
    form = wanted or known.form
    if form == "folder" and dataset.modality != "image":
        form = "path"
    if form == "path":
        return "original"
    if form in ("torch", "folder"):
        if known.source is None:
            raise UnsuitableData("give what was submitted, as `data`: its samples are read from there")
        return Correction(known, "manifest")
    own = known if known.form == form else Origin(form)
    read = dataset.inferred.format.partition(",")[0]
    if form == "numpy" and read != "npz":
        raise UnsuitableData(f"the upload was {read}, which has no arrays: give format pandas, polars or arrow")
    return Correction(own, "original" if form == "numpy" or read == "parquet" else "parquet")


def _format_of_file(wanted: str | None, path: Any, dataset: DatasetInfo) -> str | None:
    if wanted in FILE_FORMATS:
        return wanted
    if wanted is not None and wanted not in FORMS:
        known = [*FORMS, *FILE_FORMATS]
        raise UnsuitableData(f"format is {wanted!r}: expected one of {', '.join(known)}")
    if path is None:
        return None
    if wanted not in (None, "path"):
        raise UnsuitableData(f"{wanted} are data, not a file: leave `path` out, or let its ending say the format")
    return format_of(path, dataset)


def marked_form(file: Path) -> str | None:
    """The form of the rows of a file that the client of another session wrote; None for others."""
    if file.suffix != ".parquet":
        return None
    with file.open("rb") as opened:
        found = mark_of(pq.read_schema(opened)).get("form")
    return found if found in READ else None


def read(file: Path, plan: Correction, transform: Any = None) -> Any:
    """The data of a downloaded file."""
    origin = plan.origin
    if origin.form == "torch":
        return _torch(file, origin)
    if origin.form == "folder":
        return _images(file, origin, transform)
    return READ[origin.form](file, origin)


@dataclass(frozen=True)
class _Entry:
    """One line of a manifest: a sample by its path or id, with its labels; `new` is None where it was removed."""

    path: str
    old: str
    new: str | None


def _manifest(file: Path) -> Iterator[_Entry]:
    with file.open(newline="", encoding="utf-8") as opened:
        for row in csv.DictReader(opened):
            gone = row["decision"] == "remove" and not row["new_label"]
            yield _Entry(row["path"], row["old_label"], None if gone else row["new_label"])


def _torch(file: Path, origin: Origin) -> Any:
    package("torch", "a torch Dataset")
    from usual_suspects.client.corrected_sets import CorrectedDataset

    changed = [entry for entry in _manifest(file) if entry.new != entry.old]
    places = {int(entry.path.removeprefix(torch_sets.ROW)): entry.new for entry in changed}
    labels = origin.labels or _labels_of(origin.source)
    removed = {place for place, label in places.items() if label is None}
    kept = [place for place in range(len(origin.source)) if place not in removed]
    return CorrectedDataset(
        origin.source, kept, {place: labels[label] for place, label in places.items() if label is not None}
    )


def _labels_of(source: Any) -> Mapping[str, Any]:
    texts = torch_sets.LabelTexts(getattr(source, "classes", None))
    for place in range(len(source)):
        texts.text(torch_sets.sample_of(source[place])[1])
    return texts.values


def _images(file: Path, origin: Origin, transform: Any) -> Any:
    package("torch", "a torch Dataset of images")
    from usual_suspects.client.corrected_sets import CorrectedImages

    entries = [entry for entry in _manifest(file) if entry.new is not None]
    classes = sorted({str(entry.new) for entry in entries})
    places = {name: place for place, name in enumerate(classes)}
    folder = Path(origin.source)
    return CorrectedImages([(folder / entry.path, places[str(entry.new)]) for entry in entries], classes, transform)
