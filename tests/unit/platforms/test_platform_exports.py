"""Rankings in the forms of labelling tools, beside files that the tools' own parsers were seen to take."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.dataset import Modality
from service.domain.exports import EXPORT_FORMATS
from service.platforms.exports import TOOL_FORMATS, ExportContext, ExportedSample

GOLDEN = Path(__file__).parent / "golden"
SETTING = ExportContext("job_1", "text", ("politics", "sports", "tech"), field="topic", root="/data/")
CLEAN = ExportedSample(3, "row-9", 9, 0.125, "tech", "tech", 0.5, "clean", "Chips “shrink”\nagain")
SUSPECTS = (
    ExportedSample(1, "row-4", 4, 0.97, "politics", "sports", 0.875, "mislabeled", "The match ended 2:1"),
    ExportedSample(2, "row-0", 0, 0.5, "sports", "sports", 0.75, "anomalous", "%%% ?? 00 \u2028"),
    CLEAN,
)
PICTURES = tuple(
    replace(one, text=None, path=f"{one.given}/{one.index}.png", size=(640, 480) if one.flagged else None)
    for one in SUSPECTS
)
ROWS = tuple(replace(one, text=None, features={"age": 4.0, "colour": None}) for one in SUSPECTS)
OF: dict[Modality, Sequence[ExportedSample]] = {"text": SUSPECTS, "image": PICTURES, "tabular": ROWS}
CASES = [(name, modality) for name in TOOL_FORMATS for modality in EXPORT_FORMATS[name].modalities or ()]


def written(name: str, suspects: Sequence[ExportedSample], setting: ExportContext) -> str:
    return "".join(TOOL_FORMATS[name].pieces(suspects, setting))


def read(name: str, text: str) -> list[dict[str, Any]]:
    if TOOL_FORMATS[name].lines:
        return [json.loads(line) for line in text.split("\n") if line]
    whole = json.loads(text)
    items: list[dict[str, Any]] = whole["samples"] if isinstance(whole, dict) else whole
    return items


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_a_form_is_what_the_tool_was_seen_to_take(name: str, modality: Modality) -> None:
    golden = GOLDEN / f"{name}.{modality}.{'jsonl' if TOOL_FORMATS[name].lines else 'json'}"
    assert written(name, OF[modality], replace(SETTING, modality=modality)) == golden.read_text()


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_every_sample_is_there_in_the_order_of_the_ranking(name: str, modality: Modality) -> None:
    items = read(name, written(name, OF[modality], replace(SETTING, modality=modality)))
    assert len(items) == (2 if name == "cvat" else 3)  # an issue is for what is flagged
    texts = [json.dumps(item) for item in items]
    assert ["sports" in text for text in texts[:2]] == [True, True]


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_nothing_ranked_is_still_a_file_of_the_form(name: str, modality: Modality) -> None:
    assert read(name, written(name, (), replace(SETTING, modality=modality))) == []


def test_samples_that_are_tasks_get_predictions_once_each() -> None:
    tasks = [replace(CLEAN, id=name) for name in ("12:7", "12:8", "13", "row-4")]
    items = read("label_studio", written("label_studio", tasks, replace(SETTING, origin="label studio json")))
    assert [item.get("task") for item in items] == [12, 13, None]
    assert set(items[0]) == {"task", "result", "score", "model_version"}
    assert "data" in items[2]


def test_a_frame_is_cvats_own_number_where_it_is_known() -> None:
    pictures = [replace(PICTURES[0], id="31"), replace(PICTURES[1], id="pic")]
    setting = replace(SETTING, modality="image")
    frames = [item["frame"] for item in read("cvat", written("cvat", pictures, replace(setting, origin="cvat xml")))]
    assert frames == [31, 0]
    assert [item["frame"] for item in read("cvat", written("cvat", pictures, setting))] == [4, 0]


def test_a_data_row_is_named_as_labelbox_named_it() -> None:
    rows = [item["dataRow"] for item in read("labelbox", written("labelbox", SUSPECTS, SETTING))]
    assert rows[0] == {"globalKey": "row-4"}
    known = replace(SETTING, origin="labelbox, by id")
    assert read("labelbox", written("labelbox", SUSPECTS, known))[0]["dataRow"] == {"id": "row-4"}


def test_predictions_of_two_jobs_have_different_names_and_those_of_one_the_same() -> None:
    def uuids(job: str) -> list[str]:
        text = written("labelbox", SUSPECTS, replace(SETTING, job_id=job))
        return [item["uuid"] for item in read("labelbox", text)]

    assert uuids("job_1") == uuids("job_1")
    assert not set(uuids("job_1")) & set(uuids("job_2"))
    assert len(set(uuids("job_1"))) == 3


def test_a_reviewer_of_thousands_of_classes_chooses_between_two() -> None:
    many = replace(SETTING, classes=tuple(f"class {number}" for number in range(51)))
    items = read("prodigy", written("prodigy", SUSPECTS, many))
    assert [[option["id"] for option in item["options"]] for item in items] == [
        ["sports", "politics"],
        ["sports"],
        ["tech"],
    ]
    assert all("answer" not in item for item in items)
