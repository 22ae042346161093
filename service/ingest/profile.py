"""Values of each input by class: quantiles of numbers, frequencies of categories, words of texts; computed once from the canonical file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.domain.dataset import CanonicalHeader
from service.ingest.typical_words import typical_words
from service.store.seal import open_parquet, read_json, sealed_write

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
MOST_FEATURES = 200
MOST_CLASSES = 100
MOST_VALUES = 20
_MOST_ROWS = 200_000
Array = npt.NDArray[Any]


def read_profile(data: Path, cached: Path) -> dict[str, Any]:
    """The profile of a canonical file, as service.api.schemas.datasets.DatasetProfile; kept in `cached`.

    Of more than 200,000 rows, whole row groups at equal distances are read. Memory: one column of them.
    """
    known = read_json(cached)
    # Profiles of older versions have no words.
    if known is not None and "typical_words" in known:
        return known
    found = _profile(data)
    with sealed_write(cached) as part:
        part.write_text(json.dumps(found))
    return found


def _profile(data: Path) -> dict[str, Any]:
    with open_parquet(data) as file:
        header = CanonicalHeader.from_metadata(file.schema_arrow.metadata)
        groups = _groups(file.metadata)
        labels = file.read_row_groups(groups, columns=["label"]).column("label").to_numpy()
        counts = np.bincount(labels, minlength=len(header.classes))
        shown = np.argsort(-counts, kind="stable")[:MOST_CLASSES].tolist()
        inputs = [one for one in header.features if _kind(file.schema_arrow, one) is not None]
        features = []
        for one in inputs[:MOST_FEATURES]:
            column = file.read_row_groups(groups, columns=[one["column"]]).column(0).combine_chunks()
            kind = _kind(file.schema_arrow, one)
            summary = _numbers(column, labels, shown) if kind == "numeric" else _categories(column, labels, shown)
            by_class = [{"label": header.classes[k], **told} for k, told in zip(shown, summary[1:], strict=True)]
            features.append({"name": one["name"], "kind": kind, "overall": summary[0], "by_class": by_class})
        words = typical_words(file, groups, header.classes, shown)
    return {
        "rows": len(labels),
        "quantiles": QUANTILES,
        "features": features,
        "typical_words": words,
        "left_out": {
            "features": len(header.features) - len(features),
            "classes": len(header.classes) - len(shown),
            "rows": file.metadata.num_rows - len(labels),
        },
    }


def _groups(metadata: Any) -> list[int]:
    """Row groups at equal distances, of at most as many rows as are read."""
    every = metadata.num_row_groups
    step = max(1, -(-metadata.num_rows // _MOST_ROWS))
    return list(range(0, every, step))


def _kind(schema: pa.Schema, feature: dict[str, str]) -> str | None:
    kind = schema.field(feature["column"]).type
    if feature["kind"] == "categorical":
        return "categorical"
    number = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    return "numeric" if feature["kind"] == "numeric" and number else None


def _numbers(column: pa.Array, labels: Array, classes: Sequence[int]) -> list[dict[str, Any]]:
    """The whole column first, then each class."""
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    known = np.isfinite(values)
    order = np.lexsort((values, labels))
    order = order[known[order]]
    starts = np.searchsorted(labels[order], np.arange(labels.max(initial=0) + 2))
    found = [_grid(np.sort(values[known]), len(values))]
    for k in classes:
        inside = order[starts[k] : starts[k + 1]] if k + 1 < len(starts) else order[:0]
        found.append(_grid(values[inside], int((labels == k).sum())))
    return found


def _grid(ascending: Array, rows: int) -> dict[str, Any]:
    grid = np.quantile(ascending, QUANTILES).tolist() if len(ascending) else None
    return {"count": len(ascending), "missing": rows - len(ascending), "quantiles": grid, "values": None, "other": None}


def _categories(column: pa.Array, labels: Array, classes: Sequence[int]) -> list[dict[str, Any]]:
    encoded = column.cast(pa.string()).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return [_frequencies(codes, names), *(_frequencies(codes[labels == k], names) for k in classes)]


def _frequencies(codes: Array, names: Sequence[str]) -> dict[str, Any]:
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    top = [place for place in np.argsort(-counts, kind="stable")[:MOST_VALUES].tolist() if counts[place]]
    known = int(counts.sum())
    values = [{"value": names[place], "count": int(counts[place])} for place in top]
    other = known - sum(one["count"] for one in values)
    return {"count": known, "missing": len(codes) - known, "quantiles": None, "values": values, "other": other}
