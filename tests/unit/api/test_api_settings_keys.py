"""Keys of the settings: who used which is in the audit log, and reviewers go on to name themselves."""

import httpx
import pytest
from fastapi import FastAPI

from service.main import create_app
from service.settings import Settings
from tests.builders import add_finished


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    given = Settings(api_keys="first one, second,, first one,third")  # type: ignore[arg-type]  # as the environment has it
    return create_app(settings.model_copy(update={"api_keys": given.api_keys}))


def test_the_audit_log_names_a_key_by_its_place_and_not_by_itself(app: FastAPI, client: httpx.Client) -> None:
    services = app.state.services
    add_finished(services.database, services.blobs)
    for key in ("third", "first one"):
        said = [{"sample_id": "row-1", "decision": "keep", "reviewer": "Noor"}]
        answer = client.post("/jobs/job_1/reviews", json=said, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 201
    told = client.get("/audit-log", headers={"Authorization": "Bearer second"}).json()["items"]
    assert [(one["key"], one["name"]) for one in told] == [(None, "settings key 1"), (None, "settings key 3")]
    assert "first one" not in str(told)
    reviews = client.get("/jobs/job_1/reviews", headers={"Authorization": "Bearer second"}).json()["items"]
    assert {one["reviewer"] for one in reviews} == {"Noor"}
