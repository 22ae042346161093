"""Development data as a client would upload it, read from the folder that SUSPECTS_DATA names."""

import atexit
import gzip
import io
import os
import shutil
import tempfile
import zipfile
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.dataset import DatasetInfo, DatasetSpec
from service.ingest import Limits, ingest
from worker.data.canonical import Canonical, open_canonical

DATA = Path(os.environ.get("SUSPECTS_DATA", Path(__file__).parents[2] / "shared" / "data"))
TABLES = ("adult", "bank", "covtype10k", "letter", "magic", "phoneme", "satimage", "spambase", "wine_quality")
IMAGES = ("mnist", "fmnist")
TEXTS = {"trec": ("trec_questions", "target"), "yoruba": ("yoruba_news_weak", "noisy_label")}
EMBEDDINGS = ("trec_minilm", "yoruba_minilm", "cifar_lite0", "mnist_lite0", "fmnist_lite0")
_EMBEDDED = 8_000  # photographs, of 15,000
_GREYSCALE = 3_000  # of 12,000


def load(name: str, rows: int | None = None, seed: int | None = None) -> tuple[DatasetInfo, Canonical]:
    """A development set by name, ingested as an upload would be: all of it, its first `rows`, or as many drawn."""
    folder = scratch()
    source, spec = upload(name, rows, folder, seed)
    return taken(source, spec, folder)


def scratch() -> Path:
    """A new folder that is removed when the program ends."""
    folder = Path(tempfile.mkdtemp(prefix="suspects-benchmark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def taken(source: Path, spec: DatasetSpec, folder: Path) -> tuple[DatasetInfo, Canonical]:
    """An upload as the service describes and keeps it."""
    data = folder / "data.parquet"
    found = ingest(source, source.name, spec, data, folder / "skipped.jsonl", Limits())
    name = spec.name or source.name
    info = DatasetInfo(
        id=name,
        name=name,
        digest="",
        created_at=datetime.now(UTC),
        **{one.name: getattr(found, one.name) for one in fields(found)},
    )
    return info, open_canonical(data)


def cifar(rows: int) -> tuple[str, bytes]:
    """The first photographs of CIFAR-10, as JPEG files in folders of their class."""
    packed = np.load(DATA / "images" / "cifar10_jpeg.npz")
    file, ends, labels = packed["jpg_train"].tobytes(), packed["off_train"], packed["y_train"]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for row in range(rows):
            archive.writestr(f"{labels[row]}/{row:06d}.jpg", file[ends[row] : ends[row + 1]])
    return "cifar.zip", made.getvalue()


def upload(name: str, rows: int | None, folder: Path, seed: int | None = None) -> tuple[Path, DatasetSpec]:
    """The file of a development set, as `load` ingests it, and what a client would say of it."""
    if name in TABLES or name in TEXTS:
        stem, label = TEXTS.get(name, (name, "target"))
        source = DATA / ("text" if name in TEXTS else "tabular") / f"{stem}.csv.gz"
        if rows is not None:
            with gzip.open(source, "rt") as file:
                header, *lines = file.readlines()
            source = folder / f"{name}.csv"
            source.write_text("".join([header, *(lines[row] for row in chosen_rows(len(lines), rows, seed))]))
        return source, DatasetSpec(name=name, label=label)
    if name in IMAGES:
        arrays = np.load(DATA / "images" / f"{name}.npz")
        chosen = chosen_rows(len(arrays["y_train"]), rows, seed)
        source = folder / f"{name}.npz"
        np.savez(source, x=arrays["x_train"][chosen], y=arrays["y_train"][chosen])
        return source, DatasetSpec(name=name)
    if name in EMBEDDINGS:
        x, y = embedded(name)
        chosen = chosen_rows(len(y), rows, seed)
        source = folder / f"{name}.npz"
        np.savez(source, x=x[chosen], y=y[chosen])
        return source, DatasetSpec(name=name, modality="embedding")
    raise ValueError(f"no development set {name}; one of {', '.join((*TABLES, *IMAGES, *TEXTS, *EMBEDDINGS))}")


def embedded(name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Embeddings of a set by a frozen backbone, and its labels."""
    # The packages that carry the backbones are wanted by nobody else.
    from benchmarks import embeddings

    match name:
        case "trec_minilm":
            return embeddings.trec(DATA)
        case "yoruba_minilm":
            return embeddings.yoruba(DATA)[:2]
        case "cifar_lite0":
            return embeddings.cifar(DATA, _EMBEDDED)
        case _:
            return embeddings.greyscale(DATA, name.removesuffix("_lite0"), _GREYSCALE)


def chosen_rows(there: int, rows: int | None, seed: int | None) -> list[int]:
    """Which of so many rows `load` takes, in order: all of them, the first, or as many drawn."""
    wanted = there if rows is None else min(rows, there)
    if seed is None:
        return list(range(wanted))
    chosen: list[int] = np.sort(np.random.default_rng(seed).permutation(there)[:wanted]).tolist()
    return chosen
