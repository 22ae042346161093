"""A restored model is the one that was trained, and samples written anew are the samples that they were."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from service.domain.dataset import METADATA_KEY, CanonicalHeader, DatasetSpec
from service.domain.resolve import resolve
from service.domain.specs import JobRequest
from service.ingest.ingest import ingest
from service.ingest.limits import Limits
from service.ingest.samples import write_samples
from tests.builders import dataset_info
from worker.data.canonical import open_canonical
from worker.job.preparation import fit, prepare
from worker.serving.inference import probabilities, restore_model
from worker.training.loop import TrainingState

TABLE = "\n".join(
    [
        "weight,coat,wild,born,kind",
        *(f"{n / 4},coat {n % 3},{'yes' if n % 4 < 2 else 'no'},2026-01-{n + 1:02},{'ab'[n % 2]}" for n in range(24)),
    ]
)


def taken_in(folder: Path, content: bytes, name: str, **spec: Any) -> Path:
    path, data = folder / name, folder / "data.parquet"
    path.write_bytes(content)
    ingest(path, name, DatasetSpec(**spec), data, folder / "skipped.jsonl", Limits())
    return data


def test_a_restored_model_says_of_its_training_samples_what_it_said_when_training_ended(tmp_path: Path) -> None:
    data = taken_in(tmp_path, TABLE.encode(), "table.csv", label="kind")
    info = dataset_info(rows=24, classes=["a", "b"], class_counts={"a": 12, "b": 12}, splits={"train": 24})
    options = {"dataset": "ds_1", "model": {"name": "mlp"}, "training": {"epochs": 3, "batch_size": 8}}
    spec = resolve(JobRequest.model_validate(options), info)
    states: list[TrainingState] = []
    prepared = prepare(spec, open_canonical(data), None)
    fit(prepared, spec, None, lambda state, _: states.append(state))
    with torch.inference_mode():
        wanted = torch.softmax(prepared.model.eval()(*prepared.inputs), 1)
    trained = restore_model(spec, open_canonical(data), states[-1].model)
    assert trained.classes == ["a", "b"]
    assert torch.equal(probabilities(trained, open_canonical(data)), wanted)
    early = restore_model(spec, open_canonical(data), states[0].model)
    assert not torch.equal(probabilities(early, open_canonical(data)), wanted)


def test_rows_of_a_table_written_anew_are_the_same_inputs(tmp_path: Path) -> None:
    data = taken_in(tmp_path, TABLE.encode(), "table.csv", label="kind")
    rows: list[Mapping[str, Any]] = [
        {
            "weight": n / 4 if n % 2 else str(n / 4),
            "coat": f"coat {n % 3}",
            "wild": n % 4 < 2,
            "born": f"2026-01-{n + 1:02}",
        }
        for n in range(24)
    ]
    assert written(data, rows, tmp_path) == list(range(24))
    for before, after in zip(inputs(data), inputs(tmp_path / "new"), strict=True):
        assert before == after


def test_what_a_table_lacks_is_missing_and_what_it_has_too_much_is_passed_over(tmp_path: Path) -> None:
    data = taken_in(tmp_path, TABLE.encode(), "table.csv", label="kind")
    assert written(data, [{}, {"weight": "heavy", "more": 1, "coat": ""}, {"weight": 2}], tmp_path) == [0, 1, 2]
    table = pq.read_table(tmp_path / "new")
    header = CanonicalHeader.model_validate_json(table.schema.metadata[METADATA_KEY])
    by_name = {feature["name"]: table.column(feature["column"]).to_pylist() for feature in header.features}
    assert by_name == {"weight": [None, None, 2.0], "coat": [None] * 3, "wild": [None] * 3, "born": [None] * 3}


@pytest.mark.parametrize("values", [["a few words here", "", None, "more words of it"], ["  ", "some words", 7, None]])
def test_samples_without_a_text_are_left_out(tmp_path: Path, values: Sequence[Any]) -> None:
    lines = [f"some words number {n} of this text,{'ab'[n % 2]}" for n in range(12)]
    data = taken_in(tmp_path, "\n".join(["text,kind", *lines]).encode(), "texts.csv", label="kind", modality="text")
    there = [place for place, value in enumerate(values) if str(value or "").strip()]
    assert written(data, [{"text": value} for value in values], tmp_path) == there
    assert pq.read_table(tmp_path / "new").column("text").to_pylist() == [str(values[place]) for place in there]


def test_embeddings_of_another_width_and_images_that_are_none_are_left_out(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    data = tmp_path / "data.parquet"
    features = [
        {"name": "vector", "kind": "embedding", "column": "embedding"},
        {"name": "picture", "kind": "image", "column": "image"},
    ]
    header = CanonicalHeader(modality="image", classes=["a", "b"], features=features)
    columns = {"label": pa.array([0], pa.int32()), "embedding": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))}
    table = pa.table({**columns, "image": pa.array([buffer.getvalue()], pa.binary())})
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: header.model_dump_json().encode()}), data)
    good: dict[str, Any] = {"vector": [3.0, 4.0], "picture": buffer.getvalue()}
    rows = [good, {**good, "vector": [1.0]}, {**good, "picture": b"x"}, {**good, "picture": None}, good]
    assert written(data, rows, tmp_path) == [0, 4]


def written(data: Path, rows: Sequence[Mapping[str, Any]], folder: Path) -> list[int]:
    return write_samples(data, rows, folder / "new", Limits())


def inputs(data: Path) -> list[list[Any]]:
    table = pq.read_table(data)
    return [
        table.column(name).to_pylist() for name in table.schema.names if name not in ("index", "id", "label", "split")
    ]
