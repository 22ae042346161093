"""Jobs on the page: submitted, followed, listed, moved; and the key that all of it may need."""

from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Page, expect

from service.domain.job import Progress, State
from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store import job_events, jobs, rankings
from tests.browser.conftest import Watched
from tests.builders import CSV, LEASE, add_dataset, add_finished, add_job, ranking, result, summaries

KEYS = ["key one", "schlüssel"]


@pytest.fixture
def app(settings: Settings, request: pytest.FixtureRequest) -> FastAPI:
    keys: Iterable[str] = getattr(request, "param", ())
    return create_app(settings.model_copy(update={"api_keys": frozenset(keys)}))


def test_a_file_and_what_is_wanted_of_it_become_a_job(
    page: Page, client: httpx.Client, watched: Watched, tmp_path: Path
) -> None:
    (tmp_path / "animals.csv").write_bytes(CSV)
    page.goto("/")
    expect(page.locator("#no-jobs")).to_be_visible()
    page.locator("#file").set_input_files(tmp_path / "animals.csv")
    page.get_by_role("button", name="animal", exact=True).click()
    page.get_by_text("Options").click()
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_label("Model").select_option("logistic_regression")
    page.get_by_label("Epochs").fill("7")
    page.get_by_label("Measure influence on").select_option("holdout")
    page.get_by_label("Percent held out").fill("25")
    page.get_by_label("Make 10").check()
    page.get_by_role("button", name="Start the job").click()
    expect(page.locator("#job-name")).to_have_text("mine")
    (job,) = client.get("/jobs").json()["items"]
    spec = job["spec"]
    assert (spec["name"], spec["model"]["name"], spec["training"]["epochs"]) == ("mine", "logistic_regression", 7)
    assert (spec["reference"]["holdout"], spec["glitches"][0]["kind"]) == (0.25, "mislabeled_uniform")
    assert job["dataset"]["inferred"]["label"] is None  # it was told
    assert watched.refused == [(422, "/datasets")]  # until then
    watched.refused.clear()
    assert page.url.endswith(f"#{job['id']}")
    page.get_by_role("button", name="Cancel mine").first.click()
    expect(page.locator("#job-state")).to_have_text("cancelled")


def test_a_refusal_is_told_in_the_words_of_the_service(page: Page, watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "animals.csv").write_bytes(CSV)
    page.goto("/")
    page.locator("#file").set_input_files(tmp_path / "animals.csv")
    page.get_by_role("button", name="animal", exact=True).click()
    page.get_by_text("Options").click()
    page.get_by_label("Measure influence on").select_option("split")
    page.get_by_label("Name of the split").fill("plant")
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("alert")).to_contain_text("no such split")
    expect(page.get_by_role("button", name="Start the job")).to_be_enabled()
    assert watched.refused == [(422, "/datasets"), (422, "/jobs")]
    watched.refused.clear()


def test_a_job_is_followed_to_its_ranking(page: Page, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    add_job(services.database, info)
    page.goto("/#job_1")
    expect(page.locator("#job-state")).to_have_text("queued")
    with services.database.write() as connection:
        held = jobs.claim(connection, "job_1", "worker-1", LEASE, services.now())
        assert held is not None
        progress = Progress(phase="training", fraction=0.25, detail="epoch 2/8", eta_seconds=12)
        jobs.advance(connection, held, State.TRAINING, progress, services.now())
        for epoch, loss, accuracy in ((1, 2.0, 0.5), (2, 1.0, 0.75)):
            told = {"epoch": epoch, "loss": loss, "accuracy": accuracy, "learning_rate": 0.1}
            job_events.record(connection, "job_1", "metrics", told, services.now())
    expect(page.locator("#job-state")).to_have_text("training")
    expect(page.locator("#progress-text")).to_have_text("25 %: epoch 2/8, about 12 s left")
    for name, course in (("loss", "2 at epoch 1, 1 at epoch 2"), ("accuracy", "0.5 at epoch 1, 0.75 at epoch 2")):
        expect(page.get_by_role("img", name=f"Training {name}: {course}")).to_be_visible()
    expect(page.locator("#ranking")).to_be_hidden()
    table = ranking(info)
    with services.database.write() as connection:
        for state in (State.SCORING, State.RANKING):
            jobs.advance(connection, held, state, Progress(phase=state, fraction=0.75), services.now())
        jobs.complete(connection, held, result(len(table)), services.now())
        rankings.save(connection, "job_1", table)
        rankings.save_summaries(connection, "job_1", summaries())
    expect(page.locator("#job-state")).to_have_text("completed")
    expect(page.locator("#rows tr")).to_have_count(len(table))
    expect(page.locator("#facts")).to_contain_text("about 2 (1 to 3)")
    expect(page.locator("#warnings")).to_have_text("nothing is verified")
    expect(page.locator("#job-rows .badge")).to_have_text("completed")


def test_jobs_are_listed_and_moved_as_their_state_allows(page: Page, services: Services, client: httpx.Client) -> None:
    info = add_finished(services.database, services.blobs)
    add_job(services.database, info, "job_2", name="second")
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto("/#job_1")
    rows = page.locator("#job-rows tr")
    expect(rows).to_have_count(2)
    waiting = rows.filter(has_text="second")
    expect(waiting.get_by_role("button")).to_have_text(["second", "Cancel"])
    waiting.get_by_role("button", name="Cancel second").click()
    expect(waiting.get_by_role("button")).to_have_text(["second", "Retry", "Delete"])
    waiting.get_by_role("button", name="Retry second").click()
    expect(waiting.locator(".badge")).to_contain_text("queued")
    assert client.get("/jobs/job_2").json()["state"] == "queued"
    page.locator("#job-actions").get_by_role("button", name="Delete").click()
    expect(rows).to_have_count(1)
    expect(page.locator("#job")).to_be_hidden()
    assert [job["id"] for job in client.get("/jobs").json()["items"]] == ["job_2"]


@pytest.mark.parametrize("app", [KEYS], indirect=True)
@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_asked_for_until_it_is_right(page: Page, services: Services, watched: Watched, key: str) -> None:
    add_finished(services.database, services.blobs)
    page.goto("/#job_1")
    field = page.get_by_label("API key of this service")
    expect(field).to_be_focused()
    field.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not known")
    expect(page.locator("#job-rows tr")).to_have_count(0)
    field.fill(key)
    page.keyboard.press("Enter")
    expect(page.locator("#rows tr")).to_have_count(9)
    expect(field).to_be_hidden()
    assert {status for status, _ in watched.refused} == {401}
    watched.refused.clear()
    page.reload()
    expect(page.locator("#rows tr")).to_have_count(9)


def test_a_job_that_is_gone_is_told(page: Page, watched: Watched) -> None:
    page.goto("/#job_0")
    expect(page.get_by_role("alert")).to_contain_text("no job job_0")
    assert watched.refused == [(404, "/jobs/job_0")]
    watched.refused.clear()
