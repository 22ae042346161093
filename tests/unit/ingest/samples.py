"""One small good file of each format, to be damaged."""

import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit.ingest.uploads import csv_of, json_lines, npz_of, png, tar_of, zip_of

_TABLE = pa.table(
    {"x": np.arange(40.0), "w": ["uv"[i % 2] for i in range(40)], "label": ["ab"[i % 2] for i in range(40)]}
)
_FILES = {f"{name}/{i}.png": png(value=i) for name in "ab" for i in range(4)}


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(_TABLE, file)
    return file.getvalue()


def _arrow() -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_file(file, _TABLE.schema) as writer:
        writer.write_table(_TABLE)
    return file.getvalue()


SAMPLES = {
    "csv.gz": gzip.compress(csv_of(40).encode()),
    "jsonl": json_lines([{"x": i, "v": [i, 2], "label": "ab"[i % 2]} for i in range(20)]).encode(),
    "parquet": _parquet(),
    "arrow": _arrow(),
    "npz": npz_of(x=np.arange(40.0).reshape(20, 2), y=np.arange(20) % 2),
    "zip": zip_of(_FILES),
    "tar": tar_of(_FILES),
    "tar.gz": tar_of(_FILES, packed=True),
}
