"""Canonical files of a few rows, written as ingest writes them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from service.domain.dataset import METADATA_KEY, CanonicalHeader
from worker.data.canonical import Canonical, open_canonical

TYPES = {
    "numeric": pa.float64(),
    "boolean": pa.bool_(),
    "categorical": pa.string(),
    "datetime": pa.timestamp("us"),
    "time": pa.time64("us"),
    "image": pa.binary(),
    "text": pa.string(),
}


def canonical(
    path: Path,
    modality: str,
    columns: dict[str, tuple[str, Any]],
    labels: Sequence[int] | None = None,
    classes: Sequence[str] = ("cat", "dog", "eel"),
    groups: Sequence[str | None] | None = None,
    splits: Sequence[str] | None = None,
) -> Canonical:
    """A file of features `name: (kind, values)`; rows carry the classes in turn unless told, in row groups of five rows."""
    own = {"image": "image", "embedding": "embedding", "text": "text"}
    places = {name: own.get(modality, f"f{number}") for number, name in enumerate(columns)}
    rows = len(next(iter(columns.values()))[1])
    arrays: dict[str, Any] = {
        "index": pa.array(range(rows), pa.int64()),
        "id": pa.array([f"row-{row}" for row in range(rows)]),
        "label": pa.array([row % len(classes) for row in range(rows)] if labels is None else labels, pa.int32()),
        "split": pa.array(["train"] * rows if splits is None else splits),
        **({} if groups is None else {"group": pa.array(groups, pa.string())}),
    }
    for name, (kind, values) in columns.items():
        kept = pa.list_(pa.float32(), len(values[0])) if kind == "embedding" else TYPES[kind]
        arrays[places[name]] = pa.array(list(values) if kind == "embedding" else values, kept)
    header = CanonicalHeader.model_validate(
        {
            "modality": modality,
            "classes": list(classes),
            "features": [{"name": name, "kind": kind, "column": places[name]} for name, (kind, _) in columns.items()],
        }
    )
    table = pa.table(arrays).replace_schema_metadata({METADATA_KEY: header.model_dump_json().encode()})
    pq.write_table(table, path, row_group_size=5)
    return open_canonical(path)


def encoded(
    array: npt.NDArray[Any], mode: str | None = None, form: str = "PNG", exif: Image.Exif | None = None
) -> bytes:
    """An image file of an array, in another mode when told."""
    image = Image.fromarray(array)
    file = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(file, form, **({} if exif is None else {"exif": exif}))
    return file.getvalue()


def checker(height: int, width: int, channels: int = 3, value: int = 200) -> npt.NDArray[np.uint8]:
    """A picture with some pattern; grey when it has one channel."""
    pattern = ((np.arange(height)[:, None] + np.arange(width)[None]) % 2 * value).astype(np.uint8)
    return pattern if channels == 1 else np.stack([pattern, pattern // 2, 255 - pattern], axis=2)
