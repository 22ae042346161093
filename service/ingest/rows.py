"""Single rows of a canonical file; only the row groups that hold them are read."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, time
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow.compute as pc

from service.domain.dataset import WHITE_KEY, CanonicalHeader
from service.ingest import images, sample_places
from service.ingest.images import StoredImage
from service.ingest.row_groups import RowGroups, opened

T = TypeVar("T")

_OWN = ("id", "index", "split", "label")
_PREVIEW_FEATURES = 8
_PREVIEW_CHARACTERS = 60
_PREVIEW_CLASSES = 4
_PREVIEW_TEXT = 200
_PREVIEW_NUMBERS = 4
_HELD_BYTES = 8 * 2**20
_SEARCHED = 64  # row groups whose ids are read at once


def sample_row(data: Path, sample_id: str) -> dict[str, Any] | None:
    """One row: `id, index, split, label` (the class) and `features` by the client's names; None if there is no such id.

    An image is described by its content type, size and, where the upload named it, `path`; see `sample_media`.
    """
    with opened(data) as (file, groups):
        found = _found(data, file, groups, sample_id)
        return None if found is None else _whole_row(file, *found)


def row_at(data: Path, position: int) -> dict[str, Any]:
    """The same of the row at a 0-based position of the file, whose id need not be searched. Raises IndexError outside the file."""
    with opened(data) as (file, groups):
        return _whole_row(file, *groups.at(position))


def sample_media(data: Path, sample_id: str) -> tuple[bytes, str] | None:
    """An image's own bytes or a text in UTF-8, with the content type; None for other data or an unknown id."""
    image = sample_image(data, sample_id)
    if image is not None:
        return image.content, images.content_type(image.content)
    text: str | None = _single(data, sample_id, "text")[0]
    return None if text is None else (text.encode(), "text/plain; charset=utf-8")


def sample_image(data: Path, sample_id: str) -> StoredImage | None:
    """An image, to be shown by `images.shown`; None for other data or an unknown id."""
    content, white = _single(data, sample_id, "image")
    return None if content is None else StoredImage(content, None if white is None else float(white))


def _single(data: Path, sample_id: str, modality: str) -> tuple[Any, bytes | None]:
    """The input of a row of a dataset of this modality, and the metadata of white; None for other data or an unknown id."""
    with opened(data) as (file, groups):
        found = _found(data, file, groups, sample_id) if _header(file).modality == modality else None
        value = None if found is None else _row(file, *found, columns=[modality])[modality]
        return value, file.metadata.metadata.get(WHITE_KEY)


def previews(data: Path, positions: Sequence[int]) -> list[dict[str, Any]]:
    """A short form of the rows at these 0-based positions in the canonical file, in the order asked for.

    Raises `IndexError` for a position outside the file.
    """
    return _shown_at(data, positions, _preview)


def listed_rows(data: Path, positions: Sequence[int]) -> list[dict[str, Any]]:
    """Rows in short: `id, index, split, label` (the class) and `preview`. Raises `IndexError` as `previews`."""

    def show(header: CanonicalHeader, row: dict[str, Any]) -> dict[str, Any]:
        own = {name: row[name] for name in ("id", "index", "split")}
        return {**own, "label": header.classes[row["label"]], "preview": _preview(header, row)}

    return _shown_at(data, positions, show, also=_OWN)


def previews_with_images(
    data: Path, positions: Sequence[int], picture: Callable[[bytes], T]
) -> list[tuple[dict[str, Any], T | None]]:
    """Previews of rows, each with the result of `picture` for its image; None for other data."""

    def show(header: CanonicalHeader, row: dict[str, Any]) -> tuple[dict[str, Any], T | None]:
        return _preview(header, row), picture(row["image"]) if header.modality == "image" else None

    return _shown_at(data, positions, show)


def _shown_at(
    data: Path,
    positions: Sequence[int],
    show: Callable[[CanonicalHeader, dict[str, Any]], T],
    also: Sequence[str] = (),
) -> list[T]:
    with opened(data) as (file, groups):
        header = _header(file)
        columns = list(dict.fromkeys([*_preview_columns(header, file), *also]))
        by_group, lengths = groups.of(positions), np.diff(groups.starts).tolist()
        found: dict[int, T] = {}
        for together in _read_together(groups, list(by_group)):
            begins = accumulate((lengths[group] for group in together), initial=0)
            places = [
                (asked, begin + row)
                for group, begin in zip(together, begins, strict=False)
                for asked, row in by_group[group]
            ]
            # Columns of a few thousand values: handing them to threads takes longer than decoding them.
            table = file.read_row_groups(together, columns=columns, use_threads=False).take([row for _, row in places])
            found |= {asked: show(header, row) for (asked, _), row in zip(places, table.to_pylist(), strict=True)}
    return [found[asked] for asked in range(len(positions))]


def _read_together(groups: RowGroups, wanted: Sequence[int]) -> Iterator[list[int]]:
    """Cut row groups into those that are held at once. Each read costs as much as a few thousand values.

    Whole images, which may be large, are held of one group at a time.
    """
    together: list[int] = []
    held = 0
    for group in wanted:
        size = int(groups.sizes[group])
        if together and held + size > _HELD_BYTES:
            yield together
            together, held = [], 0
        together.append(group)
        held += size
    if together:
        yield together


def _preview_columns(header: CanonicalHeader, file: Any) -> list[str]:
    inputs = [one["column"] for one in _shown(header)[:_PREVIEW_FEATURES]]
    named = ["id", *_paths(file)] if header.modality == "image" else []
    return [*inputs, *named]


def _paths(file: Any) -> list[str]:
    return ["path"] if "path" in file.schema_arrow.names else []


def _shown(header: CanonicalHeader) -> list[dict[str, str]]:
    """The inputs that are shown: of recorded trainings the last logits, of predictions their probabilities."""
    if header.modality == "predictions":
        return [one for one in header.features if one["name"] == "pred_probs"]
    if header.recording is None:
        return header.features
    last = f"logits_{header.recording.epochs[-1]}"
    return [one for one in header.features if one["name"] == last]


def _preview(header: CanonicalHeader, row: dict[str, Any]) -> dict[str, Any]:
    match header.modality:
        case "image":
            width, height = images.size_of(row["image"])
            return {"path": row.get("path") or row["id"], "width": width, "height": height}
        case "text":
            return {"text": row["text"][:_PREVIEW_TEXT]}
        case "embedding":
            vector = row["embedding"]
            # The client's own name wins.
            return {"dimensions": len(vector), header.features[0]["name"]: vector[:_PREVIEW_NUMBERS]}
        case "trace" | "predictions":
            answer = row[_shown(header)[0]["column"]]
            best = max(range(len(answer)), key=answer.__getitem__)
            told: dict[str, Any] = {"model_says": header.classes[best]}
            if header.modality == "predictions":
                surest = sorted(range(len(answer)), key=answer.__getitem__, reverse=True)[:_PREVIEW_CLASSES]
                told["probabilities"] = {header.classes[place]: answer[place] for place in surest}
            return told
        case "tabular":
            return {one["name"]: _short(row[one["column"]]) for one in header.features[:_PREVIEW_FEATURES]}


def _short(value: Any) -> Any:
    value = plain_value(value)
    if isinstance(value, str) and len(value) > _PREVIEW_CHARACTERS:
        return value[: _PREVIEW_CHARACTERS - 1] + "…"
    return value


def plain_value(value: Any) -> Any:
    """A value as JSON has it."""
    return value.isoformat() if isinstance(value, datetime | time) else value


def _header(file: Any) -> CanonicalHeader:
    return CanonicalHeader.from_metadata(file.schema_arrow.metadata)


def _row(file: Any, group: int, position: int, columns: list[str] | None = None) -> dict[str, Any]:
    row: dict[str, Any] = file.read_row_group(group, columns=columns).slice(position, 1).to_pylist()[0]
    return row


def _whole_row(file: Any, group: int, position: int) -> dict[str, Any]:
    header = _header(file)
    header = header.model_copy(update={"features": _shown(header)})
    row = _row(file, group, position, columns=[*_OWN, *(one["column"] for one in header.features), *_paths(file)])
    own = {"id": row["id"], "index": row["index"], "split": row["split"], "label": header.classes[row["label"]]}
    features = {one["name"]: plain_value(row[one["column"]]) for one in header.features}
    if header.modality == "image":
        described = {**images.described(row["image"]), **({"path": row["path"]} if row.get("path") else {})}
        features = {header.features[0]["name"]: described}
    return {**own, "features": features}


def _found(data: Path, file: Any, groups: RowGroups, sample_id: str) -> tuple[int, int] | None:
    """The row group and the position in it of a sample."""
    numbered, others = groups.with_id(sample_id)
    if len(others) > _SEARCHED and groups.starts[-1] <= sample_places.MOST_ROWS:
        others = sorted({groups.at(row)[0] for row in sample_places.with_id(data, sample_id)} - set(numbered))
    for together in (numbered, *(others[first : first + _SEARCHED] for first in range(0, len(others), _SEARCHED))):
        if not together:
            continue
        ids = file.read_row_groups(together, columns=["id"], use_threads=False).column("id")
        if (place := pc.index(ids, sample_id).as_py()) >= 0:
            ends = np.diff(groups.starts)[together].cumsum()
            nth = int(np.searchsorted(ends, place, side="right"))
            return together[nth], place - int(ends[nth - 1] if nth else 0)
    return None
