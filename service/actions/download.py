"""A dataset as a file: the upload with its labels corrected, or the dataset in a form of our own."""

import mimetypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from service.actions.find import find_dataset
from service.actions.upload import NOT_KEPT
from service.domain.dataset import DatasetInfo
from service.domain.errors import Conflict, NotFound, invalid
from service.ingest.amendments import Amendment, read_amendments
from service.ingest.limits import Limits
from service.ingest.rewritten.apart import rewritten_apart
from service.ingest.rewritten.edits import Edits, unchanged_labels
from service.ingest.writers.images import to_zip
from service.ingest.writers.tables import to_csv, to_jsonl, to_manifest, to_parquet
from service.ingest.writers.view import ADDED, View
from service.services import Services
from service.store.originals import Original, find_original
from service.store.seal import check_once

_CHUNK = 1 << 20
_PACKED = (".gz", ".tgz")
_OTHERWISE_NOT_KEPT = "the upload was not kept: it came over a connection, or before uploads were kept"


@dataclass(frozen=True)
class OwnForm:
    """A form of our own: ending, media type, writer, and whether it is for images alone."""

    suffix: str
    media_type: str
    write: Callable[[View], Iterator[bytes]]
    images: bool = False


OWN_FORMS: dict[str, OwnForm] = {
    "csv": OwnForm("csv", "text/csv; charset=utf-8", to_csv),
    "parquet": OwnForm("parquet", "application/vnd.apache.parquet", to_parquet),
    "jsonl": OwnForm("jsonl", "application/x-ndjson", to_jsonl),
    "manifest": OwnForm("csv", "text/csv; charset=utf-8", to_manifest),
    "zip": OwnForm("zip", "application/zip", to_zip, images=True),
}
FORMATS = ("original", *OWN_FORMS)


@dataclass(frozen=True)
class Download:
    """A file on its way out. `content` yields it in pieces; memory does not grow with it."""

    name: str
    media_type: str
    content: Iterator[bytes]


def download(
    services: Services,
    dataset_id: str,
    form: str,
    columns: Sequence[str] = (),
    *,
    raw: bool = False,
    check: Callable[[], None],
) -> Download:
    """A dataset in one of `FORMATS`, with the columns of `ADDED` that are asked for; for `raw` see View.

    Raises NotFound, Invalid for other columns, and Conflict where the dataset is not to be had in this form: `formats` says
    in which it is. Of an upload that is written again also TooMany, TooLarge and StorageFull; `check` is called while that begins,
    and what it raises ends it.
    """
    info = find_dataset(services, dataset_id)
    if not services.blobs.canonical(dataset_id).exists():
        raise NotFound(f"the dataset {dataset_id} has no samples yet: its tasks are still to be pulled")
    unknown = [name for name in columns if name not in ADDED]
    if unknown:
        raise invalid(["query", "columns"], f"{unknown[0]!r} is none of {', '.join(ADDED)}")
    amendments = _amendments(services, info)
    if columns and amendments is None:
        raise _refused("what was changed in it was not written down, as the dataset is of an older version", info)
    if form == "original":
        return _original(services, info, amendments, tuple(columns), check)
    own = OWN_FORMS[form]
    if own.images and info.modality != "image":
        is_whole = info.lineage is None and find_original(services.blobs, info.id) is not None
        also = ["original"] if is_whole else []  # of a correction it may be refused, too
        raise _refused(f"{form} is for images, and this dataset is {info.modality}", info, also)
    view = View(services.blobs.canonical(dataset_id), info, amendments, tuple(columns), raw)
    return Download(
        f"{info.name}{_mark(info)}{'-manifest' if form == 'manifest' else ''}.{own.suffix}",
        own.media_type,
        own.write(view),
    )


def _amendments(services: Services, info: DatasetInfo) -> dict[int, Amendment] | None:
    if info.lineage is None:
        return {}
    found = read_amendments(services.blobs.amendments(info.id))
    return None if found is None else {one.index: one for one in found}


def _original(
    services: Services,
    info: DatasetInfo,
    amendments: Mapping[int, Amendment] | None,
    columns: tuple[str, ...],
    check: Callable[[], None],
) -> Download:
    original = find_original(services.blobs, info.id)
    if original is None or amendments is None:
        raise _refused(NOT_KEPT.get(info.modality, _OTHERWISE_NOT_KEPT), info)
    check_once(original.path)
    changed = {index: one for index, one in amendments.items() if one.changes}
    media_type = mimetypes.guess_type(original.name, strict=False)[0] or "application/octet-stream"
    media_type = "application/gzip" if original.name.lower().endswith(_PACKED) else media_type
    if not changed and not columns:
        return Download(original.name, media_type, _bytes(original))
    edits = _edits(services, info, amendments, columns)
    limits = Limits(max_expanded_bytes=services.settings.max_expanded_bytes)
    try:
        label, scratch = _label(info, original), services.blobs.uploads
        content = rewritten_apart(services.ingests, original, label, edits, limits, scratch, check)
    except Conflict as error:
        raise _refused(error.detail.partition(";")[0], info) from error
    return Download(_corrected(original.name) if changed else original.name, media_type, content)


def _edits(
    services: Services, info: DatasetInfo, amendments: Mapping[int, Amendment], columns: tuple[str, ...]
) -> Edits:
    changed = {index: one for index, one in amendments.items() if one.changes}
    added = {
        index: tuple(one.previous_label if name == "previous_label" else one.reviewed_by for name in columns)
        for index, one in amendments.items()
    }
    return Edits(
        labels={index: one.label for index, one in changed.items() if one.label is not None},
        removed=frozenset(index for index, one in changed.items() if one.label is None),
        ids={index: one.id for index, one in changed.items()},
        kept=partial(
            unchanged_labels, services.blobs.canonical(info.id).resolve(), tuple(info.classes), frozenset(changed)
        ),
        columns=columns,
        added=added,
        copies=tuple(info.inferred.label_copies),
    )


def _label(info: DatasetInfo, original: Original) -> str:
    return original.spec.label_column or info.inferred.label or "label"


def _bytes(original: Original) -> Iterator[bytes]:
    with original.path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _mark(info: DatasetInfo) -> str:
    return "-corrected" if info.lineage is not None else ""


def _corrected(name: str) -> str:
    """The name of a corrected file: train.csv.gz becomes train-corrected.csv.gz."""
    path = PurePosixPath(name)
    endings = "".join(path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:])
    return f"{path.name.removesuffix(endings)}-corrected{endings}"


def _refused(why: str, info: DatasetInfo, also: Sequence[str] = ()) -> Conflict:
    works = [*also, *(name for name, form in OWN_FORMS.items() if not form.images or info.modality == "image")]
    return Conflict(f"{why}; these formats work: {', '.join(works)}", members={"formats": works})
