"""Pulling from the real Label Studio: both kinds of token, images, and what annotators leave behind."""

import io
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.label_studio.ours import Installation
from tests.label_studio.tool import Tool, labelled

pytestmark = pytest.mark.label_studio

TEXTS = """<View><Text name="text" value="$text"/>
<Choices name="label" toName="text" choice="multiple">
  <Choice value="cat" alias="c"/><Choice value="dog"/>
</Choices></View>"""
PICTURES = """<View><Image name="text" value="$image"/>
<Choices name="label" toName="text"><Choice value="cat"/><Choice value="dog"/></Choices></View>"""


def tasks(count: int) -> list[dict[str, Any]]:
    return [labelled(f"words of a {'cat' if n % 2 else 'dog'} {n}", "c" if n % 2 else "dog") for n in range(count)]


def pulled(ours: Installation, connection: str, project: int, **options: Any) -> dict[str, Any]:
    """The dataset of a job, once its tasks are read."""
    job = ours.post("/jobs", {"connection": connection, "project": project, **options})
    found: dict[str, Any] = ours.until(lambda: ours.get(f"/jobs/{job['id']}"), lambda one: one["dataset"]["rows"] > 0)
    return found


def test_both_kinds_of_token_pull_the_same_tasks(tool: Tool, installation: Installation) -> None:
    project = tool.project("animals", TEXTS)
    tool.add(project, tasks(30))
    legacy = installation.connect(tool)
    personal = installation.connect(tool, tool.personal_token)
    kinds = [installation.get(f"/connections/{one}")["token_kind"] for one in (legacy, personal)]
    assert kinds == ["legacy", "personal"]
    first, second = (pulled(installation, one, project)["dataset"] for one in (legacy, personal))
    assert first == second
    assert (first["rows"], first["class_counts"]) == (30, {"cat": 15, "dog": 15})


def test_a_project_is_also_a_dataset_at_once_and_one_that_is_not_there_is_nobodys(
    tool: Tool, installation: Installation
) -> None:
    project = tool.project("animals", TEXTS)
    tool.add(project, tasks(32))
    connection = installation.connect(tool)
    info = installation.post("/datasets", {"connection": connection, "project": project})
    assert (info["rows"], info["class_counts"], info["name"]) == (32, {"cat": 16, "dog": 16}, "animals")
    # Within a job a dataset comes without the account of its columns.
    within = pulled(installation, connection, project)["dataset"]
    assert within == {name: info[name] for name in within} | {"columns": []}
    for path in ("/datasets", "/jobs"):
        refused = installation.client.post(path, json={"connection": connection, "project": 10**6})
        assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["project"])


def test_with_legacy_tokens_switched_off_the_personal_one_still_works(tool: Tool, installation: Installation) -> None:
    project = tool.project("animals", TEXTS)
    tool.add(project, tasks(31))
    personal, legacy = installation.connect(tool, tool.personal_token), installation.connect(tool)
    with tool.without_legacy_tokens():
        assert pulled(installation, personal, project)["dataset"]["rows"] == 31
        refused = installation.client.post("/jobs", json={"connection": legacy, "project": project})
        assert (refused.status_code, "legacy token" in refused.json()["detail"]) == (502, True)
        body = {"kind": "label_studio", "url": tool.url, "token": tool.token}
        refused = installation.client.post("/connections", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["token"])


def test_annotations_that_name_no_class_are_told_and_several_are_decided(
    tool: Tool, installation: Installation
) -> None:
    project = tool.project("animals", TEXTS)
    ids = tool.add(project, [*tasks(20), *({"data": {"text": f"nobody looked at {n}"}} for n in range(5))])
    tool.annotate(ids[0], "c")  # the others said dog
    nothing, cancelled, several, _, _ = ids[20:]
    tool.ask("POST", f"/api/tasks/{nothing}/annotations/", json={"result": []})
    tool.annotate(cancelled, "dog", was_cancelled=True)
    both = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["c", "dog"]}}]
    tool.ask("POST", f"/api/tasks/{several}/annotations/", json={"result": both})
    info = pulled(installation, installation.connect(tool), project)["dataset"]
    told = installation.get(f"/datasets/{info['id']}/skipped")["items"]
    assert {one["where"]: one["reason"] for one in told} == {
        f"task {nothing}": "the annotation is empty",
        f"task {cancelled}": "the annotation was cancelled",
        f"task {several}": "the annotation names 2 classes",
        **{f"task {one}": "no annotation" for one in ids[23:]},
    }
    assert (info["rows"], installation.get(f"/datasets/{info['id']}/samples/{ids[0]}")["label"]) == (20, "cat")
    assert "disagreeing_annotators" in [one["code"] for one in info["warnings"]]


def test_uploaded_images_are_fetched_with_the_token(tool: Tool, installation: Installation) -> None:
    project = tool.project("pictures", PICTURES)
    for number in range(12):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (number * 20, 0, 255 - number * 20)).save(buffer, "PNG")
        files = {"file": (f"{number}.png", buffer.getvalue(), "image/png")}
        tool.ask("POST", f"/api/projects/{project}/import", files=files)
    found = sorted(tool.tasks(project), key=lambda task: int(task["id"]))
    assert (
        httpx.get(f"{tool.url}{found[0]['data']['image']}", trust_env=False, timeout=60).status_code
        == httpx.codes.UNAUTHORIZED
    )
    for place, task in enumerate(found):
        tool.annotate(int(task["id"]), "cat" if place < 6 else "dog")
    info = pulled(installation, installation.connect(tool, tool.personal_token), project)["dataset"]
    assert (info["modality"], info["rows"], info["class_counts"]) == ("image", 12, {"cat": 6, "dog": 6})
    path = f"/datasets/{info['id']}/samples/{found[3]['id']}/media"
    shown = Image.open(io.BytesIO(installation.client.get(path).content))
    assert shown.getpixel((0, 0)) == (60, 0, 195)
