"""Development data as a client would upload it, read from the folder that SUSPECTS_DATA names."""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from service.domain.dataset import DatasetInfo, DatasetSpec
from service.ingest import Limits, ingest
from worker.decode import Canonical, read

DATA = Path(os.environ.get("SUSPECTS_DATA", Path(__file__).parents[2] / "shared" / "data"))
TABLES = ("adult", "bank", "covtype10k", "letter", "magic", "phoneme", "satimage", "spambase", "wine_quality")
IMAGES = ("mnist", "fmnist")


def load(name: str, rows: int | None = None) -> tuple[DatasetInfo, Canonical]:
    """A development set by name, ingested as an upload would be; images are cut to `rows`."""
    folder = Path(tempfile.mkdtemp(prefix="suspects-benchmark-"))
    source, spec = _upload(name, rows, folder)
    data = folder / "data.parquet"
    found = ingest(source, source.name, spec, data, folder / "skipped.jsonl", Limits())
    info = DatasetInfo(
        id=name,
        name=name,
        modality=found.modality,
        rows=found.rows,
        classes=found.classes,
        class_counts=found.class_counts,
        features=found.features,
        splits=found.splits,
        digest="",
        skipped_rows=found.skipped_rows,
        inferred=found.inferred,
        warnings=found.warnings,
        created_at=datetime.now(UTC),
    )
    return info, read(data)


def _upload(name: str, rows: int | None, folder: Path) -> tuple[Path, DatasetSpec]:
    if name in TABLES:
        return DATA / "tabular" / f"{name}.csv.gz", DatasetSpec(name=name, label="target")
    if name in IMAGES:
        arrays = np.load(DATA / "images" / f"{name}.npz")
        source = folder / f"{name}.npz"
        np.savez(source, x=arrays["x_train"][:rows], y=arrays["y_train"][:rows])
        return source, DatasetSpec(name=name)
    raise ValueError(f"no development set {name}; one of {', '.join((*TABLES, *IMAGES))}")
