"""Laws of decoding over generated tables, embeddings and images."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.canonical import canonical, checker, encoded
from worker.data.canonical import Canonical
from worker.data.encoding import Encoder

quick = settings(max_examples=60, deadline=None)

Columns = dict[str, tuple[str, Any]]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "numeric": st.one_of(st.floats(), st.sampled_from([0.0, 1.0, 1.7e308, -1.7e308, 5e-324])),
    "boolean": st.booleans(),
    "categorical": st.text(max_size=3),
    "datetime": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[Columns, list[int]]:
    """Columns of any kinds and values, and the rows to train on."""
    count = draw(st.integers(2, 24))
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5))
    columns = {
        f"column {place}": (kind, draw(st.lists(st.none() | VALUES[kind], min_size=count, max_size=count)))
        for place, kind in enumerate(kinds)
    }
    return columns, sorted(draw(st.sets(st.integers(0, count - 1), min_size=1)))


@contextmanager
def written(columns: Columns, modality: str = "tabular") -> Iterator[Canonical]:
    with tempfile.TemporaryDirectory() as folder:
        yield canonical(Path(folder) / "data.parquet", modality, columns)


@quick
@given(tables())
def test_whatever_a_table_holds_tensors_are_finite_and_codes_are_known(table: tuple[Columns, list[int]]) -> None:
    columns, train = table
    with written(columns) as dataset:
        encoder = Encoder.fit(dataset, torch.tensor(train), {})
        numeric, categorical = encoder.encode(dataset, torch.arange(len(dataset.labels)))
    assert numeric.shape[1] == encoder.shape.numeric
    assert bool((numeric.abs() <= 10).all())
    assert bool((categorical >= 0).all())
    assert bool((categorical < torch.tensor(encoder.shape.cardinalities, dtype=torch.int64)).all())
    kinds = [values for kind, values in columns.values() if kind == "categorical"]
    assert (categorical == 0).T.tolist() == [[value is None for value in values] for values in kinds]


@quick
@given(tables(), st.data())
def test_rows_that_are_not_trained_on_teach_nothing(table: tuple[Columns, list[int]], data: st.DataObject) -> None:
    columns, train = table
    changed = {
        name: (kind, [value if row in train else data.draw(VALUES[kind]) for row, value in enumerate(values)])
        for name, (kind, values) in columns.items()
    }
    rows = torch.tensor(train)
    with written(columns) as dataset, written(changed) as other:
        encoder = Encoder.fit(dataset, rows, {})
        assert Encoder.fit(other, rows, {}) == encoder
        for one, same in zip(encoder.encode(dataset, rows), encoder.encode(other, rows), strict=True):
            assert torch.equal(one, same)


@quick
@given(tables(), st.data())
def test_a_row_reads_the_same_alone_as_among_all(table: tuple[Columns, list[int]], data: st.DataObject) -> None:
    columns, train = table
    with written(columns) as dataset:
        encoder = Encoder.fit(dataset, torch.tensor(train), {})
        count = len(dataset.labels)
        some = torch.tensor(sorted(data.draw(st.sets(st.integers(0, count - 1)))), dtype=torch.int64)
        for part, whole in zip(
            encoder.encode(dataset, some), encoder.encode(dataset, torch.arange(count)), strict=True
        ):
            assert torch.equal(part, whole[some])


@quick
@given(
    st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1)
)
def test_whatever_embeddings_hold_tensors_are_finite(rows: list[list[float]]) -> None:
    with written({"e": ("embedding", np.array(rows))}, "embedding") as dataset:
        everything = torch.arange(len(rows))
        (x,) = Encoder.fit(dataset, everything, {}).encode(dataset, everything)
    assert bool((x.abs() <= 10).all())


pictures = st.builds(
    lambda height, width, grey, form: encoded(checker(height, width, 1 if grey else 3), *form),
    st.integers(1, 40),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([(None, "PNG"), (None, "JPEG"), ("P", "PNG"), ("P", "GIF"), ("1", "TIFF"), ("RGBA", "PNG")]),
)


@quick
@given(st.lists(pictures, min_size=1, max_size=8), st.none() | st.integers(8, 20))
def test_images_of_any_mix_come_in_one_shape(files: list[bytes], size: int | None) -> None:
    with written({"image": ("image", files)}, "image") as dataset:
        everything = torch.arange(len(files))
        encoder = Encoder.fit(dataset, everything, {"image_size": size})
        (pixels,) = encoder.encode(dataset, everything)
    assert pixels.shape == (len(files), *(encoder.shape.image or ()))
    assert all(8 <= side <= 64 for side in pixels.shape[2:])
    assert size is None or pixels.shape[2:] == (size, size)
