"""A job that is deleted while a request reads it is not found, whatever the code that reads it then runs into."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import pytest

from service.actions.delete import delete_ended_job
from service.services import Services
from service.store.ranking_columns import RankingColumns
from tests.builders import add_finished

FEWER = [
    lambda: np.fromiter((), np.float64, 3),
    lambda: list(zip([1], [], strict=True)),
    lambda: dict[str, int]()["mislabeled"],
    lambda: [].pop(),
    lambda: len(cast("str", None)),
    lambda: Path("no-such-file").read_bytes(),
]


@pytest.mark.parametrize("read", FEWER)
@pytest.mark.parametrize("is_deleted", [True, False])
def test_what_a_deletion_breaks_is_not_found_and_what_breaks_by_itself_is_an_error(
    client: httpx.Client,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[], object],
    is_deleted: bool,
) -> None:
    add_finished(services.database, services.blobs)

    def read_late(*_: object) -> object:
        if is_deleted:
            delete_ended_job(services, "job_1")
        return read()

    monkeypatch.setattr(RankingColumns, "order", read_late)
    answer = client.get("/jobs/job_1/report")
    assert (answer.status_code, answer.json()["code"]) == ((404, "not_found") if is_deleted else (500, "internal"))
