"""Requests drawn from the description, fit and unfit: the service answers each as described, never with a 500."""

import os
from copy import deepcopy
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as drawn_with
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.services import Services
from service.settings import Settings
from tests.builders import add_finished, add_job, form, image_zip, sign_in
from tests.described import described

load_all_checks()
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_EXAMPLES = int(os.environ.get("TEST_FUZZ_EXAMPLES", "8"))  # for each operation; `make fuzz` asks for more
# Characters; what reads the protocol refuses the head of a longer request, in words of its own.
_LONGEST_URL = 2**16
_SCHEMA = schemathesis.openapi.from_dict(deepcopy(described()))
# A stream of a job that waits has no end; deleting would leave the others nothing to ask for.
_OPERATIONS: list[Any] = [
    found.ok()
    for found in _SCHEMA.get_all_operations()
    if isinstance(found, Ok) and not found.ok().path.endswith("/events")
]
_KNOWN = {"dataset_id": ["ds_1", "images"], "job_id": ["job_1", "job_2"], "sample_id": ["row-1", "row-11", "a/1.png"]}


@pytest.fixture
def settings(settings: Settings, empty_postgres: str) -> Settings:
    """On PostgreSQL, which forgives less; the other tests of the API run on SQLite."""
    return settings.model_copy(update={"database_url": empty_postgres})


@pytest.mark.parametrize("operation", _OPERATIONS, ids=lambda operation: operation.label)
def test_answers_are_as_described(operation: Any, client: httpx.Client, services: Services, server: str) -> None:
    info = add_finished(services.database, services.blobs)
    add_job(services.database, info, "job_2")
    sign_in(services.database)
    images = form(image_zip(["a/1.png", "b/1.png"]), "images.zip", {"id": "file_name"})
    ids = {"images": client.post("/datasets", **images).json()["id"]}
    places = st.fixed_dictionaries(
        {
            name: st.one_of(st.none(), st.sampled_from(values).map(lambda value: ids.get(value, value)))
            for name, values in _KNOWN.items()
        }
    )
    cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode])

    @drawn_with(
        max_examples=_EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, known=places)
    def ask(case: Any, known: dict[str, str | None]) -> None:
        if operation.method != "delete":
            case.path_parameters.update({k: v for k, v in known.items() if v and k in case.path_parameters})
        if known["dataset_id"] and isinstance(case.body, dict) and isinstance(case.body.get("dataset"), str):
            case.body["dataset"] = known["dataset_id"]
        response = case.call(base_url=server, timeout=30)
        if len(response.request.url or "") > _LONGEST_URL:
            assert response.status_code == httpx.codes.BAD_REQUEST
            return
        case.validate_response(response, checks=_CHECKS)

    ask()
