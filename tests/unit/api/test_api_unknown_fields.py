"""A field that a body may not have is refused with the one that was likely meant."""

import json

import httpx
import pytest

from service.services import Services
from tests.builders import add_finished

CSV = b"a,label\n1,x\n2,y\n"


def refused(client: httpx.Client, path: str, spec: dict[str, object]) -> tuple[list[object], str]:
    answer = client.post(path, files={"file": ("a.csv", CSV)}, data={"spec": json.dumps(spec)})
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    (error,) = answer.json()["errors"]
    return error["loc"], error["msg"]


@pytest.mark.parametrize(
    ("path", "spec", "loc", "said"),
    [
        ("/jobs", {"label": "label"}, ["label"], "no such field here; did you mean spec.dataset.label?"),
        ("/jobs", {"epochs": 3}, ["epochs"], "no such field here; did you mean spec.training.epochs?"),
        ("/jobs", {"training": {"epoch": 3}}, ["training", "epoch"], "no such field; did you mean 'epochs'?"),
        ("/jobs", {"model": {"whatever": 1}}, ["model", "whatever"], "no such field; known: name, params"),
        ("/datasets", {"lable": "label"}, ["lable"], "no such field; did you mean 'label'?"),
    ],
)
def test_an_unknown_field_is_refused_with_what_was_likely_meant(
    client: httpx.Client, path: str, spec: dict[str, object], loc: list[str], said: str
) -> None:
    assert refused(client, path, spec) == (["spec", *loc], said)


def test_an_unknown_field_of_one_of_many_decisions_is_told_with_its_place(
    services: Services, client: httpx.Client
) -> None:
    add_finished(services.database, services.blobs)
    decisions = [
        {"sample_id": "row-1", "decision": "keep"},
        {"sample": "row-2", "sample_id": "row-2", "decision": "keep"},
    ]
    answer = client.post("/jobs/job_1/reviews", json=decisions)
    (error,) = answer.json()["errors"]
    assert (error["loc"], error["msg"]) == ([1, "sample"], "no such field; did you mean 'sample_id'?")
