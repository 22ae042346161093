"""Corrected exports of labelling tools: the records as they came, with other labels in them."""

import json
from typing import Any

import httpx
import pytest

from service.services import Services
from tests.unit.api.downloads import corrected, downloaded, uploaded

NEWS = ["rain at noon", "a late goal", "shares fall", "snow by night", "the coach resigns", "rates rise"]
TOPICS = ["weather", "sport", "money"]


def export(tool: str) -> bytes:
    """The same twelve answers as labelling tools write them; the ids are n0 to n11 or their like."""
    said = [(i, f"{NEWS[i % 6]} {i}", TOPICS[i % 3]) for i in range(12)]
    forms: dict[str, list[dict[str, Any]]] = {
        "label_studio": [
            {
                "id": i,
                "data": {"text": text},
                "annotations": [
                    {"id": 50 + i, "result": [{"from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": [topic]}}]}
                ],
            }
            for i, text, topic in said
        ],
        "doccano": [{"id": i, "text": text, "label": [topic], "Comments": []} for i, text, topic in said],
        "prodigy": [
            {"text": text, "_input_hash": i, "_task_hash": -i, "accept": [topic], "answer": "accept"} for i, text, topic in said
        ],
        "argilla": [
            {"id": f"{i}", "fields": {"text": text}, "responses": {"topic": [{"value": topic, "user_id": "u"}]}, "status": "completed"}
            for i, text, topic in said
        ],
        "labelbox": [
            {
                "data_row": {"id": f"r{i}", "global_key": f"{i}", "row_data": text},
                "projects": {
                    "p": {"labels": [{"annotations": {"classifications": [{"name": "topic", "radio_answer": {"name": topic, "value": topic}}]}}]}
                },
            }
            for i, text, topic in said
        ],
    }  # fmt: skip
    records = forms[tool]
    if tool in ("label_studio", "argilla"):
        return json.dumps(records).encode()
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.mark.parametrize("tool", ["label_studio", "doccano", "prodigy", "argilla", "labelbox"])
def test_exports_of_labelling_tools_come_back_with_labels_changed_in_place(
    client: httpx.Client, services: Services, tool: str
) -> None:
    content = export(tool)
    name = f"news.{'json' if tool in ('label_studio', 'argilla') else 'jsonl'}"
    info = uploaded(client, content, name)
    made = corrected(client, services, info["id"], {"4": "money", "7": None, "8": ""})
    found = downloaded(client, made["id"])
    again = uploaded(client, found, name)
    assert (again["inferred"]["format"], again["rows"]) == (info["inferred"]["format"], 11)
    assert again["content_digest"] == made["content_digest"] != info["content_digest"]
    assert client.get(f"/datasets/{again['id']}/samples/4").json()["label"] == "money"


@pytest.mark.parametrize("tool", ["label_studio", "doccano", "prodigy", "argilla", "labelbox"])
def test_nothing_of_a_tools_record_changes_but_the_label(client: httpx.Client, services: Services, tool: str) -> None:
    is_array = tool in ("label_studio", "argilla")
    records = json.loads(export(tool)) if is_array else list(map(json.loads, export(tool).splitlines()))
    odd = '{ "meta":{"w":1.50,"big":12345678901234567890.10,"e":1e3,"list":[ 1.0,\t2 ]}, "half\\u00e9":null,'
    texts = [odd + json.dumps(record)[1:] for record in records]
    kept = [
        text.replace('"sport"', '"money"') if place == 4 else text for place, text in enumerate(texts) if place != 7
    ]
    before, after = (
        ("[" + ",\n  ".join(one) + "]\n" if is_array else "\n".join(one) + "\n").encode() for one in (texts, kept)
    )
    info = uploaded(client, before, f"news.{'json' if is_array else 'jsonl'}")
    made = corrected(client, services, info["id"], {"4": "money", "7": None, "8": ""})
    assert downloaded(client, made["id"]).decode() == after.decode()
