"""A good file of every labelling tool whose exports are read, and of every kind of network."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from tests.fuzz.seed import Seed, zipped, zipped_parts
from tests.unit.ingest.uploads import json_lines, png

_EXPORTS = Path(__file__).parents[1] / "unit/ingest/exports"
_NETWORK = Path(__file__).parent / "network.pt2"  # of torch.export.save: two linear layers
_ROWS = 12


def _labels() -> Iterator[tuple[int, str]]:
    return ((row, "ab"[row % 2]) for row in range(_ROWS))


def _doccano() -> list[Any]:
    return [{"id": row, "text": f"words of it {row}", "label": [label], "Comments": []} for row, label in _labels()]


def _prodigy() -> list[Any]:
    return [
        {"text": f"said {row}", "_input_hash": row, "_task_hash": -row, "accept": [label], "answer": "accept"}
        for row, label in _labels()
    ]


def _pictures() -> list[Any]:
    picture = "data:image/png;base64," + base64.b64encode(png()).decode()
    return [
        {"image": picture, "_input_hash": row, "_task_hash": row, "label": label, "answer": "accept"}
        for row, label in _labels()
    ]


def _labelbox() -> list[Any]:
    return [
        {
            "data_row": {"id": f"c{row}", "global_key": f"key-{row}", "row_data": f"this is text {row}"},
            "projects": {"p": {"labels": [{"annotations": {"classifications": [_radio(label)], "objects": []}}]}},
        }
        for row, label in _labels()
    ]


def _radio(label: str) -> dict[str, Any]:
    return {"name": "kind", "value": "kind", "radio_answer": {"name": label, "value": label}}


def _argilla() -> list[Any]:
    return [
        {
            "id": f"uuid-{row}",
            "external_id": f"row-{row}",
            "fields": {"text": f"so it is {row}"},
            "responses": [{"values": {"topic": {"value": label}}, "status": "submitted", "user_id": "u"}],
            "suggestions": [],
            "status": "pending",
        }
        for row, label in _labels()
    ]


def _beside_pictures(name: str) -> Mapping[str, bytes]:
    names = ("cat_a0", "cat_b1", "cat_c2", "dog_a0", "dog_b1", "dog_c2")
    return {name: _exported(name)} | {f"{one}.png": png(value=place) for place, one in enumerate(names)}


def _exported(name: str) -> bytes:
    return (_EXPORTS / name).read_bytes()


def _state() -> bytes:
    drawn = np.random.default_rng(1)
    shapes = {"body.weight": (5, 4), "body.bias": (5,), "fc.weight": (3, 5), "fc.bias": (3,)}
    return save({name: drawn.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}, {"format": "pt"})


TOOL_SEEDS = [
    Seed("tool", "label_studio.json", {"data": _exported("label_studio.json")}),
    Seed("tool", "label_studio_min.json", {"data": _exported("label_studio_min.json")}),
    Seed("tool", "label_studio.csv", {"data": _exported("label_studio.csv")}),
    Seed("tool", "doccano.jsonl", {"data": json_lines(_doccano()).encode()}),
    Seed("tool", "prodigy.jsonl", {"data": json_lines(_prodigy()).encode()}),
    Seed("tool", "pictures.jsonl", {"data": json_lines(_pictures()).encode()}),
    Seed("tool", "labelbox.ndjson", {"data": json_lines(_labelbox()).encode()}),
    Seed("tool", "argilla.json", {"data": json.dumps(_argilla()).encode()}),
    Seed("zip", "cvat.zip", _beside_pictures("cvat.xml"), zipped),
    Seed("zip", "fiftyone.zip", _beside_pictures("fiftyone_labels.json"), zipped),
    Seed("network", "network.pt2", zipped_parts(_NETWORK.read_bytes()), zipped),
    Seed("network", "state.safetensors", {"data": _state()}),
]
