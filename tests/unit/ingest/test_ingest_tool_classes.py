"""Any set of class names in an export of a labelling tool comes back as the same set: NA and null are names there."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.errors import Invalid
from service.ingest.readers.vectors import stripped
from tests.unit.ingest.uploads import Take, json_lines, png, zip_of

N = 12
PICTURES = {f"images/{place}.png": png(value=place) for place in range(N)}


def label_studio(names: Sequence[str]) -> tuple[bytes, str]:
    tasks = [
        {
            "id": n,
            "data": {"text": f"the mill of {n} stood"},
            "annotations": [
                {
                    "id": n,
                    "result": [{"from_name": "k", "to_name": "text", "type": "choices", "value": {"choices": [name]}}],
                }
            ],
        }
        for n, name in enumerate(names)
    ]
    return json.dumps(tasks).encode(), "a.json"


def doccano(names: Sequence[str]) -> tuple[bytes, str]:
    return json_lines(
        [{"id": n, "text": f"the mill of {n}", "label": [name]} for n, name in enumerate(names)]
    ).encode(), "a.jsonl"


def prodigy(names: Sequence[str]) -> tuple[bytes, str]:
    rows = [
        {"text": f"the mill of {n}", "_input_hash": n, "_task_hash": n, "accept": [name], "answer": "accept"}
        for n, name in enumerate(names)
    ]
    return json_lines(rows).encode(), "a.jsonl"


def labelbox(names: Sequence[str]) -> tuple[bytes, str]:
    def one(name: str) -> dict[str, Any]:
        return {"annotations": {"classifications": [{"name": "kind", "radio_answer": {"name": name}}]}}

    rows = [
        {"data_row": {"id": f"c{n}", "row_data": f"the mill of {n}"}, "projects": {"p": {"labels": [one(name)]}}}
        for n, name in enumerate(names)
    ]
    return json_lines(rows).encode(), "a.ndjson"


def coco(names: Sequence[str]) -> tuple[bytes, str]:
    distinct = list(dict.fromkeys(names))
    found = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(len(names))],
        "annotations": [{"id": n, "image_id": n, "category_id": distinct.index(name)} for n, name in enumerate(names)],
        "categories": [{"id": place, "name": name} for place, name in enumerate(distinct)],
    }
    return zip_of({"labels.json": json.dumps(found).encode(), **PICTURES}), "a.zip"


def fiftyone(names: Sequence[str]) -> tuple[bytes, str]:
    rows = [
        {
            "_id": {"$oid": f"{n:024x}"},
            "filepath": f"images/{n}.png",
            "tags": [],
            "ground_truth": {"_cls": "Classification", "label": name},
        }
        for n, name in enumerate(names)
    ]
    return zip_of({"samples.json": json.dumps({"samples": rows}).encode(), **PICTURES}), "a.zip"


EXPORTS: dict[str, Callable[[Sequence[str]], tuple[bytes, str]]] = {
    "label studio": label_studio,
    "doccano": doccano,
    "prodigy": prodigy,
    "labelbox": labelbox,
    "coco": coco,
    "fiftyone": fiftyone,
}
WORDS = [
    "None",
    "NA",
    "na",
    "N/A",
    "null",
    "nan",
    "NaT",
    "?",
    "-",
    ".",
    "\\N",
    "#N/A",
    "1",
    "1.0",
    "01",
    "true",
    "True",
]
NAMES = st.lists(
    st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5),
    min_size=2,
    max_size=4,
    unique=True,
)


@pytest.mark.parametrize("tool", list(EXPORTS))
def test_words_for_a_missing_value_are_classes_in_a_tools_export(take: Take, tool: str) -> None:
    names = ["NA", "N/A", "None", "null"]
    content, name = EXPORTS[tool]([names[n % 4] for n in range(N)])
    outcome = take(content, name)
    assert outcome.found.class_counts == dict.fromkeys(sorted(names), N // 4)
    assert not outcome.skipped


def _number(name: str) -> str:
    """1.0 is the class 1 where all labels are numbers."""
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", name)


@pytest.mark.parametrize("tool", list(EXPORTS))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=NAMES)
def test_any_set_of_class_names_comes_back_as_the_same_set_or_with_a_warning(
    take: Take, tool: str, names: list[str]
) -> None:
    content, name = EXPORTS[tool]([names[n % len(names)] for n in range(N)])
    wanted = {_number(one) for one in stripped(names)}
    try:
        outcome = take(content, name)
    except Invalid as refused:
        # What looks like several labels in one text, or like a quantity, is refused by name; so is an empty name.
        said = str(refused.detail)
        if not any(word in said for word in ("several labels", "at least 2 classes", "several categories")):
            raise
        return
    kept = {_number(one) for one in outcome.found.classes}
    # A blank name is no name: its samples are left out, each with the reason.
    assert "" not in wanted or outcome.skipped
    lost = wanted - kept - {""}
    told = " ".join(one.detail for one in outcome.found.warnings)
    assert all(repr(one) in told for one in lost), f"{names} came back as {outcome.found.classes}: {told}"
    assert kept <= wanted
