"""New samples in the canonical form of an existing dataset, for predictions by its model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.domain.dataset import CanonicalHeader
from service.ingest import moments
from service.ingest.inputs import RowFaults, convert
from service.ingest.kinds import Input
from service.ingest.limits import Limits
from service.ingest.values import MissingWords
from service.store.seal import open_parquet


def write_samples(data: Path, samples: Sequence[Mapping[str, Any]], path: Path, limits: Limits) -> list[int]:
    """Write samples, values by feature, as the canonical file `path`, with the features and classes of `data`.

    Values that are missing or cannot be read are null. Gives the positions of the samples that were written: a sample without
    its text or image is left out. Labels and splits are placeholders.
    """
    with open_parquet(data) as file:
        schema = file.schema_arrow
    header = CanonicalHeader.from_metadata(schema.metadata)
    faults = RowFaults(len(samples))
    columns: dict[str, Any] = {}
    for feature in header.features:
        one = _input(feature, schema)
        columns[one.column] = convert(
            _column([sample.get(one.name) for sample in samples]), one, MissingWords(), limits, faults, {}
        )
    count = len(samples)
    columns |= {
        "index": pa.array(range(count), pa.int64()),
        "id": pa.array([f"new-{place}" for place in range(count)], pa.string()),
        "label": pa.array([0] * count, pa.int32()),
        "split": pa.array(["train"] * count, pa.string()),
    }
    wanted = pa.schema([field for field in schema if field.name in columns], metadata=schema.metadata)
    table = pa.table({field.name: columns[field.name] for field in wanted}, schema=wanted)
    kept = faults.kept()
    pq.write_table(table.filter(kept), path)
    return [place for place, good in enumerate(kept.to_pylist()) if good]


def _input(feature: Mapping[str, str], schema: Any) -> Input:
    kind, column = feature["kind"], feature["column"]
    # How moments and truths were written at first is not known any more; what a machine writes is read. The header has
    # its kinds as plain texts, which mypy does not take for names of kinds.
    width = schema.field(column).type.list_size if kind == "embedding" else 0
    forms = (moments.ISO,) if kind == "datetime" else ()
    return Input(feature["name"], kind, column, forms=forms, truth="true", width=width)  # type: ignore[arg-type]


def _column(found: Sequence[Any]) -> Any:
    try:
        return pa.array(found)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Of several types, which the form of a dataset's own upload would have made texts.
        return pa.array([None if one is None else str(one) for one in found], pa.string())
