"""The client's models say what the service's description of its API says, and bear what a newer service adds."""

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime

import pytest

from docs.scripts import client_models, synchronous_client
from usual_suspects.client import models
from usual_suspects.client.conversion import to_model
from usual_suspects.client.errors import UnexpectedAnswer

API = client_models.description()
SCHEMAS = API["components"]["schemas"]
ANSWERS = sorted(name for name, kind in vars(models).items() if is_dataclass(kind))


@pytest.mark.parametrize("name", ANSWERS)
def test_a_model_has_the_fields_of_the_api(name: str) -> None:
    kind = getattr(models, name)
    own = {one.name for one in fields(kind)} - {"extra"}
    assert own == {client_models.attribute(one) for one in SCHEMAS[name].get("properties", {})}


def test_the_models_are_those_of_the_description_of_the_api() -> None:
    written = client_models.TARGET.read_text(encoding="utf-8")
    assert client_models.module(API) == written, "python -m docs.scripts.client_models writes them anew"


def test_a_field_that_changes_its_type_changes_the_models() -> None:
    other = {**API, "components": {"schemas": {**SCHEMAS, "JobError": {**SCHEMAS["JobError"]}}}}
    properties = {**SCHEMAS["JobError"]["properties"], "code": {"type": "integer"}}
    other["components"]["schemas"]["JobError"]["properties"] = properties
    assert client_models.module(other) != client_models.module(API)


def test_the_synchronous_client_is_the_asynchronous_one_without_waiting() -> None:
    found = dict(synchronous_client.counterparts())
    assert len(found) == len(list(synchronous_client.SYNCHRONOUS.glob("*.py"))) - 2
    stale = [path.name for path, text in found.items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "python -m docs.scripts.synchronous_client writes them anew"


def test_fields_that_a_newer_service_adds_are_kept_apart() -> None:
    error = to_model(models.JobError, {"code": "diverged", "detail": "…", "hint": {"lower": "the learning rate"}})
    assert (error.code, error.extra) == ("diverged", {"hint": {"lower": "the learning rate"}})
    progress = to_model(models.Progress, {"fraction": 1, "phase": "polishing", "detail": ""})
    assert (progress.phase, progress.fraction, progress.eta_seconds) == ("polishing", 1.0, None)


def test_values_are_read_as_the_types_of_the_models() -> None:
    connection = {
        "id": "con_1",
        "kind": "label_studio",
        "name": "LS",
        "url": "http://x",
        "token_kind": "legacy",
        "seen": {"user": "me", "version": None, "projects": 3},
        "tested_at": "2026-01-01T12:00:00Z",
        "created_at": "2026-01-01T12:00:00.5+00:00",
    }
    found = to_model(models.Connection, connection)
    assert found.seen == models.ConnectionCheck(user="me", version=None, projects=3)
    assert found.tested_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    listed = to_model(models.ConnectionPage, {"items": [connection], "next": None, "total": 1})
    assert (len(listed), list(listed)) == (1, [found])


@pytest.mark.parametrize("value", [None, [], {"code": "x"}, "text"])
def test_an_answer_of_something_else_is_said_to_be_one(value: object) -> None:
    with pytest.raises(UnexpectedAnswer, match="no JobError can be read"):
        to_model(models.JobError, value)
