"""A dataset, the reviews of a job over it, and the corrected dataset that they make."""

from collections.abc import Mapping
from typing import Any

import httpx

from service.actions.find import find_dataset
from service.domain.review import Decision
from service.services import Services
from service.store import reviews
from tests.builders import add_job, finish, form, ranking_of


def uploaded(client: httpx.Client, content: bytes, name: str, **spec: Any) -> dict[str, Any]:
    """A dataset made of a file."""
    answer = client.post("/datasets", **form(content, name, spec or None))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def corrected(
    client: httpx.Client,
    services: Services,
    dataset_id: str,
    decisions: Mapping[str, str | None],
    job_id: str = "job_1",
) -> dict[str, Any]:
    """The version made of reviews: a class to relabel to by sample id, None to remove, "" to keep."""
    info = find_dataset(services, dataset_id)
    add_job(services.database, info, job_id)
    finish(services.database, job_id, info, table=ranking_of(services.blobs, info))
    said = [
        Decision(sample_id=name, decision="remove")
        if label is None
        else Decision(sample_id=name, decision="relabel", label=label)
        if label
        else Decision(sample_id=name, decision="keep")
        for name, label in decisions.items()
    ]
    with services.database.write() as connection:
        reviews.add(connection, job_id, said, "api", services.now())
    answer = client.post(f"/datasets/{dataset_id}/versions", json={"job": job_id, "apply": "reviews"})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def downloaded(client: httpx.Client, dataset_id: str, form: str = "original", **query: str) -> bytes:
    """A dataset as a file."""
    answer = client.get(f"/datasets/{dataset_id}/download", params={"format": form, **query})
    assert answer.status_code == 200, answer.text
    return answer.content
