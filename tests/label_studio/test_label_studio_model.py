"""We as the machine learning backend of the real Label Studio, which registers, asks and trains us itself."""

from typing import Any

import pytest

from tests.label_studio.news import TASKS, WORDS, Scene, scene
from tests.label_studio.ours import Installation
from tests.label_studio.tool import Tool

pytestmark = pytest.mark.label_studio


@pytest.fixture(scope="module")
def ranked(tool: Tool, installation: Installation) -> Scene:
    return scene(tool, installation, seed=3)


@pytest.fixture(scope="module")
def backend(ranked: Scene, tool: Tool, installation: Installation) -> dict[str, Any]:
    """We, put into the settings page of the project."""
    body = {"url": installation.backend(ranked.connection), "project": ranked.project, "title": "Usual Suspects"}
    told: dict[str, Any] = tool.ask("POST", "/api/ml", json={**body, "is_interactive": True})
    return told


def predictions(tool: Tool, project: int) -> dict[int, list[dict[str, Any]]]:
    return {int(task["id"]): task["predictions"] for task in tool.tasks(project)}


def retrieve(tool: Tool, project: int, tasks: list[int] | None = None) -> None:
    """Ask for predictions in the Data Manager, of all tasks or of some."""
    chosen = {"all": True, "excluded": []} if tasks is None else {"all": False, "included": tasks}
    params = {"id": "retrieve_tasks_predictions", "project": project}
    tool.ask("POST", "/api/dm/actions", params=params, json={"selectedItems": chosen})


def test_it_connects_and_shows_its_version(
    backend: dict[str, Any], ranked: Scene, tool: Tool, installation: Installation
) -> None:
    (shown,) = tool.ask("GET", "/api/ml", params={"project": ranked.project})
    assert (shown["state"], shown["model_version"]) == ("CO", f"suspects-{ranked.job}")
    told = tool.ask("GET", f"/api/ml/{backend['id']}/versions")
    assert told["versions"][0] == f"suspects-{ranked.job}"
    tried = tool.ask("POST", f"/api/ml/{backend['id']}/predict/test", params={"random": "true"})
    (one,) = tried["response"]
    assert (tried["status"], one["model_version"]) == (200, f"suspects-{ranked.job}")


def test_ranked_tasks_get_their_place_in_the_ranking_and_new_ones_the_models_word(
    backend: dict[str, Any], ranked: Scene, tool: Tool, installation: Installation
) -> None:
    retrieve(tool, ranked.project)
    found = predictions(tool, ranked.project)
    for one in installation.suspects(ranked.job):
        (prediction,) = found[int(one["sample"]["id"])]
        assert prediction["score"] == pytest.approx(one["score"], abs=1e-9)
        assert prediction["result"][0]["value"] == {"choices": [one["suggested_label"]]}
    data = [{"data": {"text": " ".join(words[2:9])}} for words in WORDS.values()]
    new = tool.add(ranked.project, data)
    retrieve(tool, ranked.project, new)
    found = predictions(tool, ranked.project)
    for task, name in zip(new, WORDS, strict=True):
        (prediction,) = found[task]
        assert (prediction["score"], prediction["model_version"]) == (None, f"suspects-{ranked.job}")
        assert prediction["result"][0]["value"] == {"choices": [name]}
        assert 0.4 < prediction["result"][0]["score"] <= 1
    asked = tool.ask("POST", f"/api/ml/{backend['id']}/interactive-annotating", json={"task": new[0]})
    assert asked["data"]["result"][0]["value"] == {"choices": [next(iter(WORDS))]}


def test_what_nobody_answers_in_time_is_no_prediction_and_is_asked_for_again(
    backend: dict[str, Any], ranked: Scene, tool: Tool, installation: Installation
) -> None:
    (task,) = tool.add(ranked.project, [{"data": {"text": "goal coach league"}}])
    with installation.without_worker():
        retrieve(tool, ranked.project, [task])
        assert predictions(tool, ranked.project)[task] == []
    retrieve(tool, ranked.project, [task])
    assert len(predictions(tool, ranked.project)[task]) == 1


def test_start_training_runs_the_job_again_over_the_present_labels(
    backend: dict[str, Any], ranked: Scene, tool: Tool, installation: Installation
) -> None:
    by_task = {int(task["id"]): task for task in tool.tasks(ranked.project)}
    for task in sorted(ranked.planted)[:5]:
        tool.relabel(by_task[task], ranked.right[task])
    for _ in range(2):
        tool.ask("POST", f"/api/ml/{backend['id']}/train", json={"use_ground_truth": False})
    following = installation.until(
        lambda: installation.get(f"/jobs/{ranked.job}")["links"]["next"], lambda link: link is not None
    )
    job = installation.ended(following.rpartition("/")[2])
    assert (job["dataset"]["rows"], job["spec"]["source"]["project"]) == (TASKS, ranked.project)
    told = installation.get(f"/jobs/{job['id']}/diff", other=ranked.job)
    assert told["relabelled"]["total"] == 5
    (shown,) = tool.ask("GET", "/api/ml", params={"project": ranked.project})
    assert shown["model_version"] == f"suspects-{job['id']}"
    others = [one["id"] for one in installation.get("/jobs", limit=1000)["items"]]
    assert installation.get(f"/jobs/{job['id']}")["links"]["next"] is None
    assert len(others) == len(set(others))


def test_its_own_webhook_tells_us_of_changes_too_and_outlives_it(
    backend: dict[str, Any], ranked: Scene, tool: Tool, installation: Installation
) -> None:
    (hook,) = tool.ask("GET", "/api/webhooks/", params={"project": ranked.project})
    assert hook["url"].endswith("/webhook")
    tool.ask("DELETE", f"/api/ml/{backend['id']}")
    assert len(tool.ask("GET", "/api/webhooks/", params={"project": ranked.project})) == 1
    newest = installation.get("/jobs", limit=1)["items"][0]["id"]
    by_task = {int(task["id"]): task for task in tool.tasks(ranked.project)}
    task = max(ranked.planted)
    tool.relabel(by_task[task], ranked.right[task])
    held = installation.until(lambda: installation.get(f"/jobs/{newest}/reviews")["items"], bool)
    assert [(one["sample_id"], one["label"]) for one in held] == [(str(task), ranked.right[task])]
