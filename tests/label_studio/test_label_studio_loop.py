"""The whole loop with the real Label Studio: 300 tasks with 30 planted label errors, from pull to a better dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.label_studio.news import ERRORS, TASKS, WORDS, Scene, scene
from tests.label_studio.ours import Installation
from tests.label_studio.tool import Tool

pytestmark = pytest.mark.label_studio


@pytest.fixture(scope="module")
def ranked(tool: Tool, installation: Installation) -> Scene:
    """One project for the tests that leave its labels alone."""
    return scene(tool, installation)


def tasks_of(suspects: Sequence[dict[str, Any]]) -> list[int]:
    return [int(one["sample"]["id"]) for one in suspects]


def test_planted_errors_lead_the_ranking_of_a_pulled_project(ranked: Scene, installation: Installation) -> None:
    job = installation.get(f"/jobs/{ranked.job}")
    assert (job["dataset"]["rows"], job["dataset"]["modality"]) == (TASKS, "text")
    assert job["spec"]["source"]["project"] == ranked.project
    first = tasks_of(installation.suspects(ranked.job)[:ERRORS])
    assert len(ranked.planted & set(first)) >= 0.8 * ERRORS


# ---- push


def push(ours: Installation, job: str, mode: str, **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = ours.post(f"/jobs/{job}/push", {"mode": mode, **more})
    return told


def held(tool: Tool, project: int) -> dict[int, Any]:
    """What the tool has of every task, without what only says when it was looked at."""
    seen = {}
    for task in tool.tasks(project):
        told = {name: task[name] for name in ("data", "meta", "is_labeled", "predictions_score", "drafts")}
        labels = [(one["id"], one["result"], one["updated_at"]) for one in task["annotations"]]
        predictions = [(one["id"], one["score"], one["mislabeling"], one["neighbors"]) for one in task["predictions"]]
        seen[int(task["id"])] = (told, labels, predictions)
    return seen


def test_a_dry_run_says_what_a_push_would_do_and_does_nothing(
    ranked: Scene, tool: Tool, installation: Installation
) -> None:
    before = held(tool, ranked.project)
    for mode in ("predictions", "tab", "review_project", "requeue"):
        told = push(installation, ranked.job, mode, dry_run=True)
        assert (told["dry_run"], told["predictions"], told["written"]) == (True, TASKS, TASKS)
        assert (told["view"], told["review_project"], told["missing"], told["unwritable"]) == (None, None, 0, 0)
    assert held(tool, ranked.project) == before
    assert tool.ask("GET", f"/api/projects/{ranked.project}/model-versions/") == {}
    assert tool.ask("GET", "/api/dm/views/", params={"project": ranked.project}) == []


def test_the_data_manager_shows_our_ranking(ranked: Scene, tool: Tool, installation: Installation) -> None:
    told = push(installation, ranked.job, "tab")
    suspects = installation.suspects(ranked.job)
    assert tool.in_tab(ranked.project, told["view"]) == tasks_of(suspects)
    assert tool.ask("GET", f"/api/projects/{ranked.project}/model-versions/") == {told["model_version"]: TASKS}
    by_task = {int(task["id"]): task for task in tool.tasks(ranked.project)}
    for one in suspects:
        task = by_task[int(one["sample"]["id"])]
        assert task["predictions"][0]["result"][0]["value"] == {"choices": [one["suggested_label"]]}
        assert task["predictions_score"] == pytest.approx(one["score"], abs=1e-9)
        assert one["sample"]["links"]["tool"] == f"{told['url']}&task={task['id']}"
    links = suspects[0]["sample"]["links"]
    assert installation.get(links["self"])["links"] == links
    shown = by_task[tasks_of(suspects)[0]]["predictions"][0]
    assert shown["mislabeling"] == shown["score"]
    assert set(shown["neighbors"]) <= set(ranked.ids)
    assert len(shown["neighbors"]) > 3


def test_pushing_twice_changes_nothing(ranked: Scene, tool: Tool, installation: Installation) -> None:
    push(installation, ranked.job, "tab")
    before = held(tool, ranked.project)
    again = push(installation, ranked.job, "tab")
    assert (again["written"], again["replaced"], again["predictions"]) == (0, 0, TASKS)
    assert held(tool, ranked.project) == before
    assert len(tool.ask("GET", "/api/dm/views/", params={"project": ranked.project})) == 1


def test_a_smaller_push_replaces_a_larger_one(ranked: Scene, tool: Tool, installation: Installation) -> None:
    push(installation, ranked.job, "tab")
    told = push(installation, ranked.job, "tab", limit=40)
    assert (told["predictions"], told["written"], told["replaced"]) == (40, 40, TASKS)
    assert tool.in_tab(ranked.project, told["view"]) == tasks_of(installation.suspects(ranked.job)[:40])
    push(installation, ranked.job, "tab")
    assert tool.in_tab(ranked.project, told["view"]) == tasks_of(installation.suspects(ranked.job))


def test_a_review_project_holds_the_suspects_in_order_and_leaves_the_first_alone(
    ranked: Scene, tool: Tool, installation: Installation
) -> None:
    push(installation, ranked.job, "tab")
    before = held(tool, ranked.project)
    told = push(installation, ranked.job, "review_project", limit=20)
    first = tasks_of(installation.suspects(ranked.job)[:20])
    found = sorted(tool.tasks(told["review_project"]), key=lambda task: int(task["id"]))
    assert [task["meta"]["origin_task"] for task in found] == first
    assert [task["data"]["given"] for task in found] == [ranked.given[task] for task in first]
    assert all(task["predictions"] and not task["annotations"] for task in found)
    assert tool.next_task(told["review_project"]) == found[0]["id"]
    again = push(installation, ranked.job, "review_project", limit=30)
    assert again["review_project"] == told["review_project"]
    assert len(tool.tasks(told["review_project"])) == 30
    assert held(tool, ranked.project) == before


def test_requeued_tasks_come_back_to_annotators_and_undoing_puts_back_what_was_there(
    ranked: Scene, tool: Tool, installation: Installation
) -> None:
    push(installation, ranked.job, "tab")
    before = held(tool, ranked.project)
    first = tasks_of(installation.suspects(ranked.job)[:15])
    told = push(installation, ranked.job, "requeue", limit=15)
    assert told["suspects"] == 15
    now = held(tool, ranked.project)
    assert {task for task in ranked.ids if not now[task][0]["is_labeled"]} == set(first)
    assert all(len(now[task][0]["drafts"]) == 1 and not now[task][1] for task in first)
    assert tool.next_task(ranked.project, told["view"]) == first[0]
    push(installation, ranked.job, "requeue", limit=15)
    assert held(tool, ranked.project) == now

    tool.annotate(first[3], ranked.right[first[3]])
    assert installation.post(f"/jobs/{ranked.job}/push/undo") == {"restored": 14, "kept": 1}
    after = held(tool, ranked.project)
    for task in set(ranked.ids) - {first[3]}:
        assert after[task][0] == before[task][0]
        assert [one[1] for one in after[task][1]] == [one[1] for one in before[task][1]]
    assert installation.post(f"/jobs/{ranked.job}/push/undo") == {"restored": 0, "kept": 0}
    # As it was for the tests that follow.
    (mine,) = after[first[3]][1]
    tool.ask("PATCH", f"/api/annotations/{mine[0]}/", json={"result": before[first[3]][1][0][1]})


# ---- what people decide comes back


def review(tool: Tool, one: Scene, suspects: Sequence[int]) -> None:
    """Every kind of decision on the first suspects; who was sent back into the queue is annotated anew."""
    by_task = {int(task["id"]): task for task in tool.tasks(one.project)}
    for task in suspects[:-5]:
        label = one.right[task]
        if by_task[task]["annotations"]:
            tool.relabel(by_task[task], label)
        else:
            tool.annotate(task, label)
    otherwise, skipped, twice, gone, removed = suspects[-5:]
    tool.annotate(otherwise, next(name for name in WORDS if name not in (one.right[otherwise], one.given[otherwise])))
    tool.annotate(skipped, one.given[skipped], was_cancelled=True)
    tool.annotate(twice, one.given[twice])
    tool.annotate(twice, one.right[twice])
    taken_back = tool.annotate(gone, one.right[gone])
    tool.ask("DELETE", f"/api/annotations/{taken_back}/")
    tool.ask("DELETE", f"/api/tasks/{removed}/")


def decisions(ours: Installation, job: str) -> dict[str, tuple[str, str | None]]:
    """The reviews that hold, by sample."""
    found = ours.get(f"/jobs/{job}/reviews", limit=1000)["items"]
    held = {one["sample_id"]: (one["decision"], one["label"]) for one in found}
    return {name: one for name, one in held.items() if one[0] != "withdraw"}


def hooks(tool: Tool, project: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tool.ask("GET", "/api/webhooks/", params={"project": project})
    return found


@dataclass
class End:
    """What is known of a project once people have looked at its suspects; tasks are counted from its first one."""

    scene: Scene
    held: dict[int, tuple[str, str | None]]
    summary: dict[str, Any]


def played(tool: Tool, ours: Installation, *, listening: bool) -> End:
    """The same story: 60 verified tasks, a ranking, 35 suspects in the queue again, people at work; heard of or read."""
    one = scene(tool, ours, seed=1, words=3, verified=60)
    suspects = tasks_of(ours.suspects(one.job)[:35])
    assert push(ours, one.job, "requeue", limit=35)["events"] == "asked"
    (hook,) = hooks(tool, one.project)
    if not listening:
        tool.ask("DELETE", f"/api/webhooks/{hook['id']}/")
    review(tool, one, suspects)
    if listening:
        # The label that is taken back at the end is heard of first, and would make 34 with all but the removed one.
        taken_back = str(suspects[-2])
        ours.until(lambda: decisions(ours, one.job), lambda held: len(held) == 34 and taken_back not in held)
        # The tasks may have been read a page at a time while people were at work: what that missed is read once more.
        ours.until(lambda: ours.post(f"/jobs/{one.job}/reconcile")["recorded"], lambda recorded: recorded == 0)
    else:
        # The service may have read a part itself: the push caused events, and projects are read every few minutes.
        ours.post(f"/jobs/{one.job}/reconcile")
        assert len(decisions(ours, one.job)) == 34
    summary = ours.get(f"/jobs/{one.job}/reviews/summary")
    assert ours.post(f"/jobs/{one.job}/reconcile")["recorded"] == 0
    held = {int(name) - one.ids[0]: what for name, what in decisions(ours, one.job).items()}
    return End(one, held, summary)


def test_with_webhooks_and_without_any_the_same_is_known_and_the_corrected_dataset_is_better(
    tool: Tool, installation: Installation
) -> None:
    heard, read = (played(tool, installation, listening=listening) for listening in (True, False))
    assert heard.held == read.held
    for part in ("flagged", "reviewed", "outcomes", "precision", "by_verdict", "by_signal"):
        assert heard.summary[part] == read.summary[part], part
    one, outcomes = heard.scene, heard.summary["outcomes"]
    relabelled = sum(
        outcomes[part][name]
        for part in ("flagged", "clean")
        for name in ("relabelled_to_suggestion", "relabelled_otherwise")
    )
    assert relabelled >= 0.7 * ERRORS
    (bands,) = (found["bands"] for found in heard.summary["by_signal"] if found["name"] == "mislabeled")
    assert bands[0]["precision"] >= 0.8

    job = installation.get(f"/jobs/{one.job}")
    version = installation.post(f"/datasets/{job['dataset']['id']}/versions", {"job": one.job, "apply": "reviews"})
    assert (version["lineage"]["relabelled"], version["lineage"]["removed"]) == (relabelled, 1)
    spec = {name: job["spec"][name] for name in ("reference", "model", "training")}
    after = installation.ended(installation.post("/jobs", {"dataset": version["id"], **spec})["id"])
    told = installation.get(f"/jobs/{after['id']}/diff")
    assert (told["before"]["job"], told["accuracy"]["comparable"]) == (one.job, True)
    assert told["accuracy"]["gain"] > 0, told["accuracy"]


def test_people_who_go_on_in_the_project_of_a_job_that_was_run_again_are_heard(
    tool: Tool, installation: Installation
) -> None:
    one = scene(tool, installation, seed=2)
    told = push(installation, one.job, "review_project", limit=30)
    by_origin = {task["meta"]["origin_task"]: int(task["id"]) for task in tool.tasks(told["review_project"])}
    first, second, third = [task for task in by_origin if task in one.planted][:3]
    tool.annotate(by_origin[first], one.right[first])
    installation.until(lambda: decisions(installation, one.job), lambda held: str(first) in held)
    installation.post(f"/jobs/{one.job}/rerun")
    link = installation.until(
        lambda: installation.get(f"/jobs/{one.job}")["links"]["next"], lambda link: link is not None
    )
    following = installation.ended(link.rpartition("/")[2])["id"]
    assert shown(installation, following) == {first: ("keep", None, one.job)}

    tool.annotate(by_origin[second], one.right[second])
    by_task = {int(task["id"]): task for task in tool.tasks(one.project)}
    tool.relabel(by_task[third], one.right[third])
    installation.until(lambda: shown(installation, following), lambda held: len(held) == 3)
    for _ in range(2):
        for job in (following, one.job):
            assert installation.post(f"/jobs/{job}/reconcile")["recorded"] == 0
    held = shown(installation, following)
    assert {task: held[task][:2] for task in (second, third)} == {
        task: ("relabel", one.right[task]) for task in (second, third)
    }
    assert held[second][2] == one.job
    listed = [installation.get(f"/jobs/{job}/reviews")["total"] for job in (one.job, following)]
    assert sum(listed) == 3
    summaries = [installation.get(f"/jobs/{job}/reviews/summary")["reviewed"] for job in (one.job, following)]
    assert summaries == [3, 3]


def shown(ours: Installation, job: str) -> dict[int, tuple[str, str | None, str]]:
    """The reviews beside the suspects of a job, and the jobs that they were given to, by task."""
    held = {int(one["sample"]["id"]): one["review"] for one in ours.suspects(job) if one["review"]}
    return {task: (one["decision"], one["label"], one["job"]) for task, one in held.items()}
