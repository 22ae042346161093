"""The real data sets, when they are at hand: `SUSPECTS_DATA` names the folder."""

import gzip
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.ingest.uploads import Take, zip_of

DATA = Path(os.environ.get("SUSPECTS_DATA", Path(__file__).parents[4] / "shared" / "data"))

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no real data: SUSPECTS_DATA names no folder")


@pytest.mark.parametrize(
    ("name", "rows", "classes", "features", "categorical"),
    [
        ("adult", 32_561, 2, 14, 8),
        ("bank", 45_211, 2, 16, 6),
        ("covtype10k", 10_000, 7, 12, 2),
        ("letter", 20_000, 26, 16, 0),
        ("magic", 19_020, 2, 10, 0),
        ("phoneme", 5_404, 2, 5, 0),
        ("satimage", 6_435, 6, 36, 0),
        ("spambase", 4_601, 2, 57, 0),
        ("wine_quality", 6_497, 7, 12, 1),
    ],
)
def test_tables_are_read_whole(take: Take, name: str, rows: int, classes: int, features: int, categorical: int) -> None:
    content = (DATA / "tabular" / f"{name}.csv.gz").read_bytes()
    outcome = take(content, f"{name}.csv.gz")
    assert (outcome.found.rows, outcome.found.skipped_rows) == (rows, 0)
    assert (len(outcome.found.classes), len(outcome.found.features)) == (classes, features)
    assert list(outcome.kinds.values()).count("categorical") == categorical
    assert outcome.found.inferred.label == "target"


def test_a_question_mark_is_a_missing_value(take: Take) -> None:
    content = (DATA / "tabular" / "adult.csv.gz").read_bytes()
    outcome = take(content, "adult.csv.gz")
    marks = gzip.decompress(content).decode().count("?")
    assert marks > 0
    assert sum(outcome.column(name).count(None) for name in outcome.kinds) == marks


@pytest.mark.parametrize(("name", "rows"), [("mnist", 16_000), ("fmnist", 16_000), ("notmnist_ood", 4_000)])
def test_image_arrays_are_read_whole(take: Take, name: str, rows: int) -> None:
    path = DATA / "images" / f"{name}.npz"
    outcome = take(path.read_bytes(), path.name)
    assert (outcome.found.modality, outcome.found.rows, len(outcome.found.classes)) == ("image", rows, 10)
    arrays = np.load(path)
    first = arrays["x" if "x" in arrays else "x_train"][0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(outcome.table["image"][0]))), first)


@pytest.mark.parametrize("name", ["annthyroid", "optdigits", "pageblocks", "satellite", "shuttle"])
def test_anomaly_arrays_are_tables(take: Take, name: str) -> None:
    path = DATA / "anomaly" / f"{name}.npz"
    outcome = take(path.read_bytes(), path.name)
    assert outcome.found.modality == "tabular"
    assert outcome.found.class_counts["1"] == int(np.load(path)["y"].sum())


def test_a_folder_of_real_photographs_is_read(take: Take) -> None:
    packed = np.load(DATA / "images" / "cifar10_jpeg.npz")
    data, starts, labels = packed["jpg_test"].tobytes(), packed["off_test"], packed["y_test"]
    files = {f"{labels[i]}/{i:06d}.jpg": data[starts[i] : starts[i + 1]] for i in range(500)}
    outcome = take(zip_of(files), "cifar.zip")
    assert outcome.found.rows == 500
    assert dict(zip(outcome.table["path"], outcome.table["image"], strict=True)) == files


@pytest.mark.parametrize(
    ("name", "label", "rows"), [("trec_questions", "target", 5_452), ("yoruba_news_weak", "noisy_label", 1_340)]
)
def test_texts_are_read_whole(take: Take, name: str, label: str, rows: int) -> None:
    content = (DATA / "text" / f"{name}.csv.gz").read_bytes()
    outcome = take(content, f"{name}.csv.gz", label=label, features=["text"])
    assert (outcome.found.modality, outcome.found.rows) == ("text", rows)
