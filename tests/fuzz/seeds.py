"""A good file for every reader, from which the damaged ones are made."""

import io
import json
import random
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import xlsxwriter
from safetensors.numpy import save

from tests.fuzz.seed import Seed, gzipped, zipped, zipped_parts
from tests.fuzz.tool_seeds import TOOL_SEEDS
from tests.unit.ingest.uploads import png, tar_of

_ROWS = 24
_CLASSES = ("cat", "dog", "hen")
_ANY = np.random.default_rng(0)
_LABELS = np.arange(_ROWS) % 3
_LOGITS = _ANY.normal(size=(2, _ROWS, 3)).astype(np.float32)
_FEATURES = _ANY.normal(size=(_ROWS, 4)).astype(np.float32)


def _table() -> dict[str, list[object]]:
    words = random.Random(0)
    return {
        "id": [f"s{row}" for row in range(_ROWS)],
        "width": [round(words.uniform(-9, 9), 3) for _ in range(_ROWS)],
        "count": [words.randrange(100) if row % 7 else None for row in range(_ROWS)],
        "colour": [words.choice(("red", "blue")) for _ in range(_ROWS)],
        "seen": [f"2024-0{row % 9 + 1}-1{row % 10}" for row in range(_ROWS)],
        "note": [f'said "{words.choice(("yes", "no"))}", row {row}' for row in range(_ROWS)],
        "label": [_CLASSES[row % 3] for row in range(_ROWS)],
    }


def _delimited(mark: str) -> bytes:
    table = _table()
    rows = zip(*table.values(), strict=True)
    quoted = [["" if value is None else '"{}"'.format(str(value).replace('"', '""')) for value in row] for row in rows]
    return "\n".join([mark.join(table), *(mark.join(row) for row in quoted)]).encode()


def _records() -> list[dict[str, object]]:
    table = _table()
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(_table()), file)
    return file.getvalue()


def _arrow(form: str) -> bytes:
    file, table = io.BytesIO(), pa.table(_table())
    if form == "feather":
        pyarrow.feather.write_feather(table, file)
        return file.getvalue()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=5)
    return file.getvalue()


def _workbook() -> dict[str, bytes]:
    file, table = io.BytesIO(), _table()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        book.set_properties({"created": datetime(2024, 1, 1, tzinfo=UTC)})
        sheet = book.add_worksheet()
        for place, (name, values) in enumerate(table.items()):
            sheet.write_column(0, place, [name, *("" if value is None else value for value in values)])
    return zipped_parts(file.getvalue())


def _arrays(**arrays: object) -> dict[str, bytes]:
    packed = {}
    for name, array in arrays.items():
        file = io.BytesIO()
        np.save(file, np.asarray(array))
        packed[f"{name}.npy"] = file.getvalue()
    return packed


def _arff() -> bytes:
    head = "@relation things\n@attribute width numeric\n@attribute colour {red,blue}\n@attribute label {cat,dog,hen}\n@data\n"
    rows = zip(_table()["width"], _table()["colour"], _table()["label"], strict=True)
    return (head + "\n".join(",".join(map(str, row)) for row in rows)).encode()


def _svmlight() -> bytes:
    return "\n".join(f"{row % 3} 1:{row / 7:.3f} 3:{row % 5} # row {row}" for row in range(_ROWS)).encode()


def _fasttext() -> bytes:
    return "\n".join(f"__label__{_CLASSES[row % 3]} words about number {row}" for row in range(_ROWS)).encode()


def _images() -> dict[str, bytes]:
    kinds = ("PNG", "JPEG", "BMP")
    return {
        f"{_CLASSES[row % 3]}/{row}.{kinds[row % 3].lower()}": png(value=row, kind=kinds[row % 3]) for row in range(9)
    }


def _listed() -> dict[str, bytes]:
    names = [f"images/{row}.png" for row in range(6)]
    table = "file,label\n" + "\n".join(f"{name},{_CLASSES[row % 3]}" for row, name in enumerate(names))
    return {"labels.csv": table.encode()} | {name: png(value=row) for row, name in enumerate(names)}


def _tasks() -> bytes:
    choice = {"from_name": "label", "to_name": "text", "type": "choices"}
    return json.dumps(
        [
            {
                "id": row,
                "data": {"text": f"words about {_CLASSES[row % 3]} number {row}"},
                "annotations": [{"result": [{**choice, "value": {"choices": [_CLASSES[row % 3]]}}]}],
            }
            for row in range(12)
        ]
    ).encode()


def _coco() -> dict[str, bytes]:
    described = {
        "images": [{"id": row, "file_name": f"{row}.png", "width": 60, "height": 50} for row in range(6)],
        "annotations": [
            {"id": row, "image_id": row, "category_id": row % 2, "bbox": [1, 2, 30, 20], "area": 600}
            for row in range(6)
        ],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
    }
    return {"annotations.json": json.dumps(described).encode()} | {
        f"images/{row}.png": png((60, 50), value=row) for row in range(6)
    }


def _lines() -> bytes:
    return "\n".join(map(json.dumps, _records())).encode()


SEEDS = [
    Seed("csv", "data.csv", {"data": _delimited(",")}),
    Seed("csv", "data.tsv", {"data": _delimited("\t")}),
    Seed("csv", "data.csv.gz", {"data": _delimited(";")}, lambda parts: gzipped(parts["data"])),
    Seed("jsonl", "data.jsonl", {"data": _lines()}),
    Seed("json", "data.json", {"data": json.dumps(_records()).encode()}),
    Seed("parquet", "data.parquet", {"data": _parquet()}),
    Seed("arrow", "data.arrow", {"data": _arrow("stream")}),
    Seed("arrow", "data.feather", {"data": _arrow("feather")}),
    Seed("excel", "data.xlsx", _workbook(), zipped),
    Seed("arff", "data.arff", {"data": _arff()}),
    Seed("svmlight", "data.svm", {"data": _svmlight()}),
    Seed("fasttext", "train.ft.txt", {"data": _fasttext()}),
    Seed("npz", "data.npz", _arrays(x=_FEATURES, y=_LABELS), zipped),
    Seed(
        "named",
        "probabilities.npz",
        _arrays(labels=_LABELS, pred_probs=np.exp(_LOGITS[0]) / np.exp(_LOGITS[0]).sum(1, keepdims=True)),
        zipped,
    ),
    Seed(
        "safetensors",
        "run.safetensors",
        {
            "data": save(
                {
                    "labels": _LABELS,
                    "learning_rates": np.array([0.1, 0.1]),
                    "logits": _LOGITS,
                    "activations": _FEATURES,
                }
            )
        },
    ),
    Seed("zip", "images.zip", _images(), zipped),
    Seed("zip", "listed.zip", _listed(), zipped),
    Seed("zip", "coco.zip", _coco(), zipped),
    Seed("zip", "parts.zip", {"train.csv": _delimited(","), "test.csv": _delimited(",")}, zipped),
    Seed("tar", "images.tar", _images(), tar_of),
    Seed("tar", "images.tar.gz", _listed(), lambda parts: gzipped(tar_of(parts))),
    Seed("tool", "tasks.json", {"data": _tasks()}),
    *TOOL_SEEDS,
]
