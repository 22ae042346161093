"""The status of estimates of jobs that ended before there was one."""

from typing import Any

import pytest

from service.domain.estimate import with_statuses


def result(mislabeled: dict[str, Any], *codes: str) -> dict[str, Any]:
    warnings = [{"code": code, "detail": ""} for code in codes]
    anomalous = {"count": 0, "low": 0, "high": 0}
    return {"samples": 1000, "estimates": {"mislabeled": mislabeled, "anomalous": anomalous}, "warnings": warnings}


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(0, 51, "unknown"), (None, 51, "unknown"), (0, 50, "rough"), (1, 900, "rough"), (None, None, "rough")],
)
def test_an_interval_from_none_to_many_is_unknown(low: int | None, high: int | None, status: str) -> None:
    told = with_statuses(result({"count": 0, "low": low, "high": high}))["estimates"]["mislabeled"]
    assert told["status"] == status
    assert (told["reason"] is None) == (status == "rough")
    assert (told["count"], told["low"], told["high"]) == (0, low, high)


@pytest.mark.parametrize("code", ["no_trusted_reference", "small_trusted_reference", "no_features"])
def test_anomalies_that_could_not_be_counted_are_unknown(code: str) -> None:
    told = with_statuses(result({"count": 9, "low": 5, "high": 20}, code))["estimates"]
    assert told["anomalous"]["status"] == "unknown"
    assert told["anomalous"]["reason"]
    assert told["mislabeled"]["status"] == "rough"


def test_what_a_job_said_itself_stays() -> None:
    said = {"status": "rough", "count": 0, "low": 0, "high": 900, "reason": None}
    assert with_statuses(result(said))["estimates"]["mislabeled"] == said
    assert with_statuses({"samples": 3}) == {"samples": 3}
