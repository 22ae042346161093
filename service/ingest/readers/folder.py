"""Archives of images: in folders of their classes, or beside tables that name them."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from service.domain.dataset import ClientWarning, DatasetSpec, SkippedRow
from service.domain.errors import Invalid, Malformed
from service.ingest.faults import invalid, listed
from service.ingest.readers.class_folders import FolderRoles, Place, names_within_classes, roles_of_folders
from service.ingest.readers.image_kinds import litter_warning
from service.ingest.readers.inner_tables import InnerTables, base_name
from service.ingest.readers.labelled_list import (
    ImageList,
    ListedImages,
    agreement,
    ambiguity,
    find_lists,
    may_hold_labels,
    read_lists,
    with_splits,
)
from service.ingest.readers.listing import Listing, Member, OpenMember
from service.ingest.readers.mask_pairs import masks_beside, masks_of
from service.ingest.readers.pictures import ArchiveImages
from service.ingest.source import BATCH_BYTES, Batch, RowSource, free_name

_NO_CLASS = ("_unlabeled", "no_label")  # FiftyOne's and CVAT's
_OF_HEADERS = ("header_looks_like_data", "repeated_columns")
_LARGEST_IMAGE = 64 * 2**20
_BATCH = 256
_FEW = 3


@dataclass(frozen=True)
class ImageEntry:
    """One image, or a line of a list without one; `fault` says why it is no sample."""

    index: int
    where: str
    values: Mapping[str, str | None]
    member: Member | None = None
    fault: str = ""


@dataclass(frozen=True)
class _Contents:
    """What an archive of images says: its samples, their columns, the roles of these, and what the client is told."""

    form: str
    entries: Sequence[ImageEntry]
    columns: list[str]
    label: str | None
    split: str | None
    warnings: list[ClientWarning] = field(default_factory=list)
    null_words: bool = False
    delimiter: str = ""


def open_folder(kind: str, images: Sequence[Member], tables: InnerTables) -> RowSource | None:
    """Read an archive of images, sorted by path. None where a few of them without classes illustrate a table.

    Raises `Invalid` when no label can be told from it.
    """
    listing = tables.listing
    masks = masks_of(images)
    pictures = [member for member in images if member.path not in masks.masks]
    named = ArchiveImages(listing, pictures)
    lists = find_lists(tables, named)
    if not lists and len(images) <= _FEW and tables.members() and not _class_folders(images):
        return None
    if masks.folders is not None and not lists:
        raise invalid(
            f"the images in {masks.folders[1]}/ are masks of those in {masks.folders[0]}/: segmentation is not supported, because a "
            "mask is no class; put each image in a folder named by its class, without the masks, or add a list of the images, such "
            "as a CSV with the columns file_name and label"
        )
    contents = (
        _listed(lists, named, pictures, _named_columns(tables.upload.spec))
        if lists
        else _without_lists(pictures, tables, named)
    )
    warnings = [*listing.warnings, *contents.warnings]
    if masks.masks:
        detail = f"{len(masks.masks):,} masks were left out, for example {min(masks.masks)}; they are not classes"
        warnings.append(ClientWarning(code="masks_left_out", detail=detail))
    image = free_name("image", contents.columns)
    return RowSource(
        format=f"{kind}, {contents.form}",
        batches=lambda media: _batches(listing, contents.entries, contents.columns, image if media else None),
        columns=(*contents.columns, image),
        label=contents.label,
        split=contents.split,
        image=image,
        path=contents.columns[0],
        null_words=contents.null_words,
        delimiter=contents.delimiter,
        warnings=(*warnings, *_ignored(listing, images, lists)),
    )


def _ignored(listing: Listing, images: Sequence[Member], lists: Sequence[ImageList]) -> Iterator[ClientWarning]:
    """Warnings of the files that are not read."""
    if (litter := litter_warning(listing)) is not None:
        yield litter
    used = {*(member.path for member in images), *(one.path for one in lists)}
    others = [member.path for member in listing.members if member.path not in used]
    if others:
        yield ClientWarning(code="ignored_files", detail=f"{len(others)} files that are no images: {listed(others)}")


def _without_lists(images: Sequence[Member], tables: InnerTables, named: ArchiveImages) -> _Contents:
    try:
        found = _in_folders(images)
    except Invalid as error:
        beside = listed([one.path for one in tables.members()])
        if not beside:
            raise
        why = ambiguity(tables, named) or f"no column of {beside} names the images by path, name or id"
        raise invalid(f"{error}; {why}") from error
    classes = {entry.values.get("label") for entry in found.entries if not entry.fault}
    if len(classes) == 1 and (beside := listed([one.path for one in tables.members(".txt")])):
        raise invalid(
            f"all images lie in the one folder {next(iter(classes))!r}, and no column of {beside} names them by path, name or id; "
            "make the names in the table those of the images, or put each image in a folder named by its class"
        )
    return found


def _in_folders(images: Sequence[Member]) -> _Contents:
    """Samples of the class that their folder names."""
    if images and all(member.fault for member in images):
        raise invalid(f"no image can be read; the first, {images[0].path}: {images[0].fault}", images[0].path)
    roles = roles_of_folders(Counter(_folder(member) for member in images if not member.fault))
    masks = masks_beside(images)
    splits = any(place.split is not None for place in roles.places.values())
    entries = []
    for index, member in enumerate(images):
        place = roles.places.get(_folder(member), Place())
        fault = member.fault or place.fault
        if place.label in _NO_CLASS:
            fault = fault or f"in the folder {place.label}, which is for images without a class"
        if member.path in masks:
            fault = fault or f"a mask of {masks[member.path]}, which is no sample"
        values = {"file_name": member.path, "label": place.label, "split": place.split, "part": place.part}
        entries.append(ImageEntry(index, member.path, values, member, fault))
    columns = ["file_name", "label", *(["split"] if splits else []), *(["part"] if roles.parts else [])]
    return _Contents(
        "images in class folders", entries, columns, "label", "split" if splits else None, [*_part_warnings(roles)]
    )


def _part_warnings(roles: FolderRoles) -> Iterator[ClientWarning]:
    within = names_within_classes(roles)
    if len(within) > 1:
        yield ClientWarning(
            code="folders_within_classes",
            detail=f"the folders {listed(within)} lie in several of the class folders {listed(roles.classes)} and were not used; "
            "if they are the classes, add a CSV with the columns file_name and label",
        )
    if not roles.parts:
        return
    why = "hold the same folders" if roles.repeated else "are called like parts of the data"
    yield ClientWarning(
        code="folders_are_parts",
        detail=f"the folders {listed(list(roles.parts))} {why}, so that they are no classes; the classes are "
        f"{listed(roles.classes)}. If the former are the classes, set spec.label to 'part'",
    )


def _listed(
    lists: Sequence[ImageList], named: ArchiveImages, images: Sequence[Member], kept: Collection[str]
) -> _Contents:
    """Samples of the class that the lists give them. `kept` are columns that the client names."""
    found = read_lists(lists, named, kept)
    warnings = [*_list_warnings(lists)]
    free = [name for name in found.columns if name not in kept]
    label = free[0] if len(free) == 1 else None
    folders = _class_folders(images)
    if folders:
        decided = _label_beside_folders(found, folders, lists, warnings)
        if decided is not None:
            label = decided
            warnings += _filled(found, folders, label)
    split, unsplit = with_splits(found, lists)
    if unsplit:
        detail = f"{len(unsplit):,} images lie in no folder of a split, beside others that do, for example {unsplit[0]}; they count as train"
        warnings.append(ClientWarning(code="images_beside_splits", detail=detail))
    if folders:
        for path, (_, values) in found.rows.items():
            values["folder"] = folders.get(path)
        found.columns["folder"] = None
    entries = [_matched(index, member, found) for index, member in enumerate(images)]
    start = len(entries)
    entries += [
        ImageEntry(start + number, where, {}, None, fault) for number, (where, fault) in enumerate(found.orphans)
    ]
    return _Contents(
        form=f"images with {listed([base_name(one.path) for one in lists])}",
        entries=entries,
        columns=["file_name", *(name for name in found.columns if name != "file_name")],
        label=label,
        split=split,
        warnings=warnings,
        null_words=any(one.source.null_words for one in lists),
        delimiter=lists[0].source.delimiter,
    )


def _named_columns(spec: DatasetSpec) -> set[str]:
    named = (spec.id, spec.split, spec.group, spec.annotator, *spec.exclude, *(spec.features or ()))
    return {name for name in named if name is not None}


def _list_warnings(lists: Sequence[ImageList]) -> Iterator[ClientWarning]:
    for one in lists:
        if one.headless:
            detail = f"the first line of {one.path} names an image, so it was read as a row; the columns are called column_1, column_2, …"
            yield ClientWarning(code="list_without_header", detail=detail)
        for warning in one.source.warnings:
            if not (one.headless and warning.code in _OF_HEADERS):
                yield warning.model_copy(update={"detail": f"{one.path}: {warning.detail}"})


def _class_folders(images: Sequence[Member]) -> dict[str, str]:
    """The class of each image by its folder; empty where folders name no two classes."""
    try:
        roles = roles_of_folders(Counter(_folder(member) for member in images if not member.fault))
    except Invalid:
        return {}
    found = {member.path: roles.places.get(_folder(member), Place()).label for member in images}
    return {path: label for path, label in found.items() if label is not None} if len(roles.classes) > 1 else {}


def _filled(found: ListedImages, folders: Mapping[str, str], label: str) -> Iterator[ClientWarning]:
    """Give images that no list names the class of their folder, where the label of the lists is the same."""
    missing = [path for path in folders if path not in found.rows]
    for path in missing:
        found.rows[path] = (path, {label: folders[path]})
    if missing and label in found.columns:
        detail = f"{len(missing):,} images that no list names have the class of their folder as {label!r}, for example {missing[0]}"
        yield ClientWarning(code="labels_from_folders", detail=detail)


def _label_beside_folders(
    found: ListedImages, folders: Mapping[str, str], lists: Sequence[ImageList], warnings: list[ClientWarning]
) -> str | None:
    """The label where folders name classes, too: the lists count, unless they say nothing of classes. None: not decided here."""
    where = listed([base_name(one.path) for one in lists])
    same = agreement(found, folders)
    if same.column is not None:
        if same.differing:
            detail = (
                f"{same.differing:,} images lie in another folder than {same.column!r} of {where} says, for example {same.first}; "
                f"{where} counts. If the folders are right, set spec.label to 'folder'"
            )
            warnings.append(ClientWarning(code="folders_disagree", detail=detail))
        return same.column
    beside = not any(path in folders for path in found.rows) and len(folders) >= len(found.rows)
    if beside:
        detail = (
            f"the labels are the folders, because {where} names none of the {len(folders):,} images in them; the "
            f"{len(found.rows):,} images that it names have no label. To read {where}, upload it with its images alone"
        )
        warnings.append(ClientWarning(code="folders_are_labels", detail=detail))
        return "folder"
    if not may_hold_labels(found):
        detail = f"the labels are the folders, because {where} names images and has no column of classes"
        warnings.append(ClientWarning(code="folders_are_labels", detail=detail))
        return "folder"
    shown = listed(sorted(set(folders.values())))
    detail = f"the labels come from {where} and not from the folders {shown}; if those are the classes, set spec.label to 'folder'"
    warnings.append(ClientWarning(code="folders_not_used", detail=detail))
    return None


def _matched(index: int, member: Member, found: ListedImages) -> ImageEntry:
    if member.fault or member.path not in found.rows:
        return ImageEntry(index, member.path, {}, member, member.fault or "the metadata has no row for it")
    return ImageEntry(index, member.path, {**found.rows[member.path][1], "file_name": member.path}, member)


def _folder(member: Member) -> tuple[str, ...]:
    return tuple(member.path.split("/")[:-1])


def _batches(
    listing: Listing, entries: Sequence[ImageEntry], columns: Sequence[str], image: str | None
) -> Iterator[Batch]:
    """`image` names the column of the file contents; with None they are not read."""
    with listing.reading() as read:
        rows: list[ImageEntry] = []
        contents: list[bytes] = []
        skipped: list[SkippedRow] = []
        for entry in entries:
            data, fault = _contents(read, entry) if image is not None else (b"", entry.fault)
            if fault:
                skipped.append(SkippedRow(index=entry.index, where=entry.where, reason=fault))
            else:
                rows.append(entry)
                contents.append(data)
            if len(rows) + len(skipped) >= _BATCH or sum(map(len, contents)) > BATCH_BYTES:
                yield _batch(rows, contents, skipped, columns, image)
                rows, contents, skipped = [], [], []
        if rows or skipped:
            yield _batch(rows, contents, skipped, columns, image)


def _contents(read: OpenMember, entry: ImageEntry) -> tuple[bytes, str]:
    if entry.fault or entry.member is None:
        return b"", entry.fault
    if entry.member.size > _LARGEST_IMAGE:
        return b"", f"the file is larger than {_LARGEST_IMAGE:,} bytes"
    try:
        with read(entry.member) as file:
            return file.read(), ""
    except Malformed:
        return b"", "the file is damaged in the archive"


def _batch(
    rows: Sequence[ImageEntry],
    contents: Sequence[bytes],
    skipped: Sequence[SkippedRow],
    columns: Sequence[str],
    image: str | None,
) -> Batch:
    arrays = {name: pa.array([entry.values.get(name) for entry in rows], pa.string()) for name in columns}
    if image is not None:
        arrays[image] = pa.array(contents, pa.binary())
    return Batch(
        rows=pa.RecordBatch.from_pydict(arrays),
        index=np.array([entry.index for entry in rows], np.int64),
        where=lambda position: rows[position].where,
        skipped=tuple(skipped),
    )
