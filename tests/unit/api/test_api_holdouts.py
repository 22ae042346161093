"""A holdout that would be empty is refused when the job is asked for, or its time."""

from typing import Any

import httpx
import pytest

from service.services import Services
from tests.builders import add_dataset

FOUR = b"x,label\n0.1,a\n0.2,b\n0.3,a\n0.4,b\n"


def upload(client: httpx.Client, content: bytes) -> str:
    return str(client.post("/datasets", files={"file": ("few.csv", content)}).json()["id"])


def refused(client: httpx.Client, dataset: str, share: float) -> str:
    """Why both the job and its estimate are refused."""
    sent = {"dataset": dataset, "reference": {"holdout": share}}
    said = []
    for path in ("/jobs", "/jobs/estimate"):
        answer = client.post(path, json=sent)
        assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text
        (fault,) = answer.json()["errors"]
        assert fault["loc"][-2:] == ["reference", "holdout"]
        said.append(fault["msg"])
    assert said[0] == said[1]
    return str(said[0])


@pytest.mark.parametrize(
    "content", [FOUR, b"x,label\n" + b"".join(b"%d.5,class %d\n" % (row, row % 100) for row in range(200))]
)
def test_a_share_of_which_no_class_gives_a_row_is_refused_with_one_that_works(
    client: httpx.Client, content: bytes
) -> None:
    dataset = upload(client, content)
    said = refused(client, dataset, 0.2)
    assert "each class gives round(share x its rows) and keeps one" in said
    assert "the largest has 2 rows" in said
    assert "From 0.3 on it gives one" in said
    again = client.post("/jobs", json={"dataset": dataset, "reference": {"holdout": 0.3}})
    assert again.status_code == httpx.codes.ACCEPTED, again.text


def test_where_no_share_works_the_other_ways_to_a_reference_are_named(client: httpx.Client) -> None:
    said = refused(client, upload(client, b"x,label\n0.1,a\n0.2,b\n0.3,c\n"), 0.9)
    assert "no class has two rows" in said
    assert "reference.samples" in said


@pytest.mark.parametrize(("splits", "is_empty"), [({"train": 6, "test": 54}, True), ({"train": 54, "test": 6}, False)])
def test_rows_of_other_splits_give_nothing(
    client: httpx.Client, services: Services, splits: dict[str, Any], is_empty: object
) -> None:
    add_dataset(services.database, blobs=services.blobs, rows=60, splits=splits)
    if is_empty:
        assert "the largest has 2 rows" in refused(client, "ds_1", 0.2)
    else:
        sent = {"dataset": "ds_1", "reference": {"holdout": 0.2}}
        assert client.post("/jobs", json=sent).status_code == httpx.codes.ACCEPTED
