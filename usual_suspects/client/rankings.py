"""Rankings as tables of Arrow, pandas and polars."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from usual_suspects.client.submissions.prepared import package

# Of the columns that every ranking has; the others are values of signals.
_KINDS = {
    "rank": pa.int64(),
    "place": pa.int64(),
    "index": pa.int64(),
    "reviewed_at": pa.timestamp("us", tz="UTC"),
    **dict.fromkeys(
        (
            "sample_id",
            "path",
            "given_label",
            "suggested_label",
            "verdict",
            "decision",
            "decided_label",
            "reviewer",
            "planted_kind",
            "planted_label",
        ),
        pa.string(),
    ),
}


def table_of_parquet(path: Path) -> Any:
    """A whole ranking."""
    with path.open("rb") as file:
        return pq.read_table(file)


def table_of_lines(lines: list[str]) -> Any:
    """Some rows of a ranking, each a JSON object, with the columns and types of the whole."""
    rows = [json.loads(line) for line in lines]
    schema = pa.schema([(name, _KINDS.get(name, pa.float64())) for name in (rows[0] if rows else _KINDS)])
    columns = {name: [row[name] for row in rows] for name in schema.names}
    if "reviewed_at" in columns:
        when = pa.array(columns["reviewed_at"], pa.string())
        columns["reviewed_at"] = pa.compute.cast(when, _KINDS["reviewed_at"])
    return pa.table(columns, schema=schema)


def to_pandas(table: Any) -> Any:
    """A ranking as a pandas frame. Raises MissingPackage."""
    package("pandas", "to_pandas()")
    return table.to_pandas()


def to_polars(table: Any) -> Any:
    """A ranking as a polars frame. Raises MissingPackage."""
    return package("polars", "to_polars()").from_arrow(table)


def to_cleanlab(table: Any) -> Any:
    """A ranking as cleanlab's `find_label_issues` gives it, in the order of the upload; the index is the place in the upload.

    `label_quality` is 1 minus the score by `mislabeled`: near 0 is bad. Raises MissingPackage.
    """
    pandas = package("pandas", "to_cleanlab()")
    frame = table.select(["index", "verdict", "score", "given_label", "suggested_label"]).to_pandas()
    frame = frame.sort_values("index").set_index("index")
    return pandas.DataFrame(
        {
            "is_label_issue": frame["verdict"] == "mislabeled",
            "label_quality": 1 - frame["score"],
            "given_label": frame["given_label"],
            "predicted_label": frame["suggested_label"],
        }
    )
