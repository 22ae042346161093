"""A value is called rare by its class alone, and only where the class has enough rows to say so."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from service.domain.dataset import METADATA_KEY, CanonicalHeader, DatasetInfo, Feature
from service.report.deviations import Deviation, deviations
from tests.builders import dataset_info

NAMES = ["cat", "dog"]


def written(path: Path, weights: list[float | None], colours: list[str | None], labels: list[int]) -> DatasetInfo:
    """A canonical file of weights and colours in row groups of 64."""
    rows = len(labels)
    info = dataset_info(rows=rows, classes=NAMES, splits={"train": rows})
    header = CanonicalHeader(
        modality="tabular",
        classes=NAMES,
        features=[{"name": f.name, "kind": f.kind, "column": f.column} for f in info.features],
    )
    columns = {
        "label": pa.array(labels, pa.int32()),
        "f0": pa.array(weights, pa.float64()),
        "f1": pa.array(colours, pa.string()),
    }
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: header.model_dump_json().encode()})
    pq.write_table(table, path, row_group_size=64)
    return info


def test_rare_is_what_few_rows_of_the_class_reach_or_share(tmp_path: Path) -> None:
    # 200 cats from 0 to 199, one of another colour; 100 dogs at 1,000, one of them as light and grey as a cat.
    weights: list[float | None] = [*map(float, range(200)), *[1_000.0] * 99, 5.0]
    colours: list[str | None] = [*["grey"] * 199, "pink", *["brown"] * 99, "grey"]
    info = written(tmp_path / "a.parquet", weights, colours, [0] * 200 + [1] * 100)
    found = deviations(tmp_path / "a.parquet", info, [100, 0, 199, 250, 299])
    assert (found[100], found[250]) == ([], [])
    assert found[0] == [Deviation("weight", 0.0, 1 / 200, "lower than 99.5 % of cat")]
    assert found[199] == [
        Deviation("weight", 199.0, 1 / 200, "higher than 99.5 % of cat"),
        Deviation("colour", "pink", 1 / 200, "0.5 % of cat"),
    ]
    assert [(one.feature, one.words) for one in found[299]] == [
        ("weight", "lower than 99 % of dog"),
        ("colour", "1 % of dog"),
    ]


def test_shares_are_those_of_counting_the_rows_of_the_class_one_by_one(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    weights: list[float | None] = [None if draw.random() < 0.05 else round(one, 1) for one in draw.normal(size=400)]
    colours: list[str | None] = [None if one == 9 else f"c{min(one, 6)}" for one in draw.poisson(1.2, 400)]
    labels = draw.integers(0, 2, 400).tolist()
    info = written(tmp_path / "a.parquet", weights, colours, labels)
    found = deviations(tmp_path / "a.parquet", info, range(400))
    rare = 0
    for position in range(400):
        same = [place for place in range(400) if labels[place] == labels[position]]
        expected = {}
        columns: tuple[tuple[str, list[Any]], ...] = (("weight", weights), ("colour", colours))
        for name, values in columns:
            value, others = values[position], [values[place] for place in same if values[place] is not None]
            if value is None:
                continue
            counts = [sum(one == value for one in others)]
            if name == "weight":
                counts = [sum(one >= value for one in others), sum(one <= value for one in others)]
            share = min(counts) / len(others)
            if share <= 0.02:
                expected[name] = share
        assert {one.feature: one.share for one in found[position]} == expected
        rare += len(expected)
    assert rare > 10


def test_small_classes_missing_values_and_other_data_have_no_deviations(tmp_path: Path) -> None:
    weights: list[float | None] = [*map(float, range(29)), *[1.0] * 99, None]
    info = written(tmp_path / "a.parquet", weights, [None] * 129, [0] * 29 + [1] * 100)
    assert deviations(tmp_path / "a.parquet", info, [0, 28, 128]) == {0: [], 28: [], 128: []}
    assert deviations(tmp_path / "a.parquet", info, []) == {}
    other = info.model_copy(update={"modality": "text"})
    assert deviations(tmp_path / "a.parquet", other, [0]) == {}
    words = info.model_copy(update={"features": [Feature(name="t", kind="text", column="f1")]})
    assert deviations(tmp_path / "a.parquet", words, [0]) == {}
