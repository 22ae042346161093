"""One small good file of each format, to be damaged."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit.ingest.uploads import csv_of, json_lines, npz_of, png, tar_of, zip_of

_TABLE = pa.table(
    {"x": np.arange(40.0), "w": ["uv"[i % 2] for i in range(40)], "label": ["ab"[i % 2] for i in range(40)]}
)
_FILES = {f"{name}/{i}.png": png(value=i) for name in "ab" for i in range(4)}


_EXPORTS = Path(__file__).parent / "exports"
_PICTURES = {f"{name}.png": png() for name in ("cat_a0", "cat_b1", "cat_c2", "dog_a0", "dog_b1", "dog_c2")}


def _stored(**files: bytes) -> bytes:
    """A ZIP whose damage lands in the files themselves."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {**_PICTURES, **files}.items():
            archive.writestr(name, content)
    return file.getvalue()


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
    "predictions.npz": npz_of(labels=np.arange(20) % 2, pred_probs=np.full((20, 2), 0.5), features=np.eye(20)),
    "zip": zip_of(_FILES),
    "tar": tar_of(_FILES),
    "tar.gz": tar_of(_FILES, packed=True),
    "label_studio.json": (_EXPORTS / "label_studio.json").read_bytes(),
    "label_studio.csv": (_EXPORTS / "label_studio.csv").read_bytes(),
    "cvat.zip": _stored(**{"cvat.xml": (_EXPORTS / "cvat.xml").read_bytes()}),
    "coco.zip": _stored(**{"coco.json": (_EXPORTS / "coco.json").read_bytes()}),
}
