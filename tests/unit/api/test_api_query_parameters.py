"""A query parameter that a route does not have is refused with the one that was likely meant."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.services import Services
from tests.builders import add_finished
from tests.described import operations

SUSPECTS = "/jobs/job_1/suspects"
# Probes and foreign programs add parameters of their own.
TOLERANT = {"/healthz", "/readyz", "/metrics"}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}  # without it nobody is signed out


def routes() -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Method, path and query parameters of every operation that is strict, with something in place of each id."""
    return [
        (
            method,
            path.replace("{", "").replace("}", ""),
            [one for one in operation.get("parameters", ()) if one["in"] == "query"],
        )
        for method, path, operation in operations()
        if path not in TOLERANT and not path.startswith("/ls/")
    ]


def faults(answer: httpx.Response) -> Iterator[tuple[str, str]]:
    """Name and message of each query parameter that an answer refuses."""
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        for error in answer.json()["errors"]:
            yield ".".join(error["loc"][1:]), error["msg"]


def test_every_route_refuses_an_unknown_query_parameter(client: httpx.Client) -> None:
    for method, path, _ in routes():
        answer = client.request(method, path, params={"no_such": 1}, headers=OWN_PAGE)
        assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json"), (method, path)
        (error,) = answer.json()["errors"]
        assert error["loc"] == ["query", "no_such"]
        assert error["msg"].startswith("no such parameter")


def test_every_route_knows_its_own_parameters_and_which_may_be_repeated(client: httpx.Client) -> None:
    for method, path, parameters in routes():
        for one in parameters:
            name, schema = one["name"], one["schema"]
            is_list = "array" in {part.get("type") for part in (schema, *schema.get("anyOf", ()))}
            once, twice = (dict(faults(client.request(method, path, params={name: given}))) for given in (1, [1, 1]))
            assert "no such" not in once.get(name, ""), (method, path, name)
            assert (twice.get(name) == "given 2 times; it takes one value") is not is_list, (method, path, name)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (f"{SUSPECTS}?verdcit=mislabeled", {"verdcit": "no such parameter; did you mean 'verdict'?"}),
        ("/jobs?whatever=1", {"whatever": "no such parameter; known: cursor, dataset, limit, name, state"}),
        ("/jobs/job_1?limit=1", {"limit": "no such parameter; known: none"}),
        (f"{SUSPECTS}?by=si&by=aum", {"by": "given 2 times; it takes one value"}),
        (
            f"{SUSPECTS}?lable=cat&by=si&%FF=1&offest=3",
            {
                "lable": "no such parameter; did you mean 'label'?",
                "\ufffd": "no such parameter; known: about, by, cursor, decision, disagrees, field, format, ids, label, limit, "
                "min_confidence, min_score, offset, part, q, raw, region, reviewed, root, signals, stage, suggested, verdict",
                "offest": "no such parameter; did you mean 'offset'?",
            },
        ),
    ],
)
def test_what_was_likely_meant_is_told(
    client: httpx.Client, services: Services, asked: str, told: dict[str, str]
) -> None:
    add_finished(services.database, services.blobs)
    assert dict(faults(client.get(asked))) == told


def test_a_page_that_was_read_before_does_not_let_a_misspelt_filter_in(
    client: httpx.Client, services: Services
) -> None:
    add_finished(services.database, services.blobs)
    for _ in range(2):
        assert client.get(f"{SUSPECTS}?verdict=mislabeled").is_success
        assert client.get(f"{SUSPECTS}?verdcit=mislabeled").status_code == httpx.codes.UNPROCESSABLE_ENTITY


def test_nothing_is_done_for_a_request_with_an_unknown_parameter(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    assert client.delete("/jobs/job_1?dry_run=true").status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert client.get("/jobs/job_1").is_success


@pytest.mark.parametrize(
    "path", ["/models", "/signals", "/jobs/job_1/signals", "/jobs/job_1/groups", "/jobs/job_1/verify-next"]
)
def test_a_list_without_pages_takes_a_limit_and_is_answered_whole(
    client: httpx.Client, services: Services, path: str
) -> None:
    add_finished(services.database, services.blobs)
    assert client.get(f"{path}?limit=1").json() == client.get(path).raise_for_status().json()
    assert client.get(f"{path}?limit=1&limit=2").status_code == httpx.codes.UNPROCESSABLE_ENTITY


def test_thousands_of_unknown_parameters_are_refused_as_fast_as_a_few(client: httpx.Client) -> None:
    answer = client.get("/jobs?" + "&".join(f"stat{number}" for number in range(6_000)))
    *told, last = answer.json()["errors"]
    assert len(told) == 20
    assert last == {"loc": ["query"], "msg": "5,980 more faults are not listed"}
    assert answer.elapsed.total_seconds() < 1


@pytest.mark.parametrize("path", [*sorted(TOLERANT), "/ls/con_1.secret/health", "/", "/docs", "/web/exports.json"])
def test_probes_pages_and_foreign_programs_may_add_parameters(client: httpx.Client, path: str) -> None:
    plain, asked = client.get(path), client.get(path, params={"no_such": 1})
    assert asked.status_code == plain.status_code != httpx.codes.UNPROCESSABLE_ENTITY
