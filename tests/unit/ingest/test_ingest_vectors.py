"""Lists of numbers in the cells of a text table."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from service.domain.errors import Invalid
from tests.unit.ingest.uploads import Take


@pytest.mark.parametrize("width", [3, 40])
@pytest.mark.parametrize(
    "written", [str, lambda row: np.array2string(row, separator=", "), lambda row: str(row.tolist())]
)
def test_arrays_in_cells_are_embeddings_however_numpy_writes_them(
    take: Take, written: Callable[[Any], str], width: int
) -> None:
    rows = [(np.arange(width) + row) / np.float64(4) for row in range(12)]
    text = io.StringIO()
    csv.writer(text).writerows([("v", "label"), *((written(row), "ab"[number % 2]) for number, row in enumerate(rows))])
    outcome = take(text.getvalue().encode(), "a.csv")
    assert outcome.kinds == {"v": "embedding"}
    assert np.allclose(outcome.table["embedding"], rows)


@pytest.mark.parametrize("width", [3, 1_500])
@pytest.mark.parametrize(
    ("number", "begin", "end"),
    [
        ("np.float64({})", "[", "]"),
        ("np.float32({})", "array([", "])"),
        ("{}", "array([", "])"),
        ("{}", "np.array([", "], dtype=float32)"),
        ("{}", "numpy.array([", "], dtype='float16')"),
        ("{}", "tensor([", "])"),
        ("{}", "torch.tensor([", "], device='cuda:0', grad_fn=<AddBackward0>)"),
    ],
)
def test_arrays_in_cells_are_embeddings_as_python_shows_them(
    take: Take, width: int, number: str, begin: str, end: str
) -> None:
    rows = [(np.arange(width) + row) / 4 for row in range(12)]
    shown = [begin + ", ".join(map(number.format, row.tolist())) + end for row in rows]
    text = io.StringIO()
    csv.writer(text).writerows([("v", "label"), *((one, "ab"[place % 2]) for place, one in enumerate(shown))])
    outcome = take(text.getvalue().encode(), "a.csv")
    assert outcome.kinds == {"v": "embedding"}
    assert np.allclose(outcome.table["embedding"], rows)


@pytest.mark.parametrize("shown", [str, repr, lambda row: str(torch.tensor(row))])
def test_arrays_in_cells_without_their_middle_are_left_out_or_refused(take: Take, shown: Callable[[Any], str]) -> None:
    rows = [(np.arange(1_500) + row) / 4 for row in range(12)]
    text = io.StringIO()
    written = csv.writer(text)
    written.writerows([("v", "label"), *((shown(row), "ab"[place % 2]) for place, row in enumerate(rows))])
    assert "..." in text.getvalue()
    with pytest.raises(
        Invalid, match=r"v \(lists of numbers with '\.\.\.' in place of their middle.*to be written whole"
    ):
        take(text.getvalue().encode(), "a.csv")
    text = io.StringIO()
    csv.writer(text).writerows(
        [("v", "x", "label"), *((shown(row), place / 8, "ab"[place % 2]) for place, row in enumerate(rows))]
    )
    found = take(text.getvalue().encode(), "a.csv").found
    assert [one.name for one in found.features] == ["x"]
    assert [one.code for one in found.warnings] == ["shortened_left_out"]


@pytest.mark.parametrize("said", ["array([oats])", "see np.array(v) of [1]", "f(x) = [1, 2]"])
def test_texts_that_name_arrays_stay_texts(take: Take, said: str) -> None:
    table = "\n".join(["v,label", *(f'"{said} in the year {row}",{"ab"[row % 2]}' for row in range(12))])
    outcome = take(table, "a.csv")
    assert outcome.kinds == {"v": "text"}
    assert outcome.table["text"][0] == f"{said} in the year 0"


@pytest.mark.parametrize("shown", [str, lambda row: json.dumps(row.tolist()), lambda row: f"[ {row.tolist()} ]"])
def test_lists_of_lists_are_no_texts(take: Take, shown: Callable[[Any], str]) -> None:
    rows = [(np.arange(20).reshape(4, 5) + row) / 4 for row in range(12)]
    text = io.StringIO()
    csv.writer(text).writerows(
        [("v", "x", "label"), *((shown(row), place / 8, "ab"[place % 2]) for place, row in enumerate(rows))]
    )
    found = take(text.getvalue().encode(), "a.csv").found
    assert [one.name for one in found.features] == ["x"]
    assert [one.code for one in found.warnings] == ["nested_left_out"]
    with pytest.raises(Invalid, match=r"there is v \(structures, lists in lists"):
        take("\n".join(json.dumps({"v": row.tolist(), "label": "ab"[i % 2]}) for i, row in enumerate(rows)), "a.jsonl")
