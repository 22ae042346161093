"""Contents of many rows of a canonical file, as reviewers see them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.dataset import CanonicalHeader
from service.ingest import images
from service.ingest.row_groups import opened
from service.ingest.rows import plain_value
from service.store.seal import open_parquet

_NUMBERED = re.compile(r"^row-\d+$")


@dataclass(frozen=True)
class Content:
    """Content of one row: its text, its features by name, or the path of its image in the upload with width and height."""

    text: str | None = None
    path: str | None = None
    size: tuple[int, int] | None = None
    features: dict[str, Any] | None = None


def contents(data: Path, positions: Sequence[int], *, sizes: bool = False) -> list[Content]:
    """The rows at these 0-based positions, in the order asked for; images are opened only with `sizes`.

    Memory: one row group of images, or all the texts and features asked for.
    """
    with opened(data) as (file, groups):
        header = CanonicalHeader.from_metadata(file.schema_arrow.metadata)
        columns = _columns(header, file.schema_arrow.names, sizes=sizes)
        if not columns:
            return [Content()] * len(positions)
        found: dict[int, Content] = {}
        for group, places in groups.of(positions).items():
            table = file.read_row_group(group, columns=columns).take([row for _, row in places])
            found |= {asked: _content(header, row) for (asked, _), row in zip(places, table.to_pylist(), strict=True)}
    return [found[asked] for asked in range(len(positions))]


def image_sizes(data: Path, count: int) -> list[tuple[int, int]]:
    """Width and height of the first `count` images, by their headers."""
    with open_parquet(data) as file:
        batches = file.iter_batches(count, columns=["image"])
        return [images.size_of(image.as_py()) for image in next(batches).column(0)]


def image_paths(data: Path, ids: Sequence[str], positions: Sequence[int]) -> list[str | None]:
    """Paths of the images with these ids, at these 0-based positions, as the upload had them; None where it had none."""
    found = [content.path for content in contents(data, positions)]
    # An image of an archive without a list is called by its path, and one of an array by its number.
    return [path or (None if _NUMBERED.match(name) else name) for path, name in zip(found, ids, strict=True)]


def _columns(header: CanonicalHeader, names: Sequence[str], *, sizes: bool) -> list[str]:
    match header.modality:
        case "image":
            return [name for name in ("path", *(["image"] if sizes else [])) if name in names]
        case "embedding" | "trace" | "predictions":
            return []
        case "text" | "tabular":
            return [one["column"] for one in header.features]


def _content(header: CanonicalHeader, row: dict[str, Any]) -> Content:
    if header.modality == "text":
        return Content(text=row["text"])
    if header.modality == "image":
        return Content(path=row.get("path"), size=images.size_of(row["image"]) if "image" in row else None)
    return Content(features={one["name"]: plain_value(row[one["column"]]) for one in header.features})
