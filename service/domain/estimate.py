"""How far the estimated numbers of a job can be trusted."""

from collections.abc import Mapping
from typing import Any, Literal

# measured: from reviews of samples that were drawn at random. rough: by a rule that holds on most data. unknown: the job
# cannot tell, and `count`, `low` and `high` mean nothing.
Status = Literal["measured", "rough", "unknown"]

FIRST_VERIFIED = 50  # a number that one person looks through at once, and that improves the ranking
TRUSTED_ROWS = 150  # verified samples that counting wrong labels and flagging anomalies needs
_MANY = 0.05  # share of the samples: none or more than these says nothing
_UNCOUNTED = {
    "no_features": "Anomalies are not searched for, because the predictions came without features.",
    "no_trusted_reference": "Without verified samples anomalies cannot be counted. Verify at least 150 samples and rank again.",
    "small_trusted_reference": "Anomalies cannot be counted by so few verified samples. Verify at least 150 and rank again.",
}
_EITHER = (
    "Between none and about {high:,} labels may be wrong. Verify at least 150 samples and rank again, or review the top of the "
    "ranking."
)


def with_statuses(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a job with the status of each estimate, also where the job ended before there were any."""
    estimates = result.get("estimates")
    if estimates is None:
        return dict(result)
    codes = [warning["code"] for warning in result.get("warnings", ())]
    why = next((_UNCOUNTED[code] for code in codes if code in _UNCOUNTED), None)
    reasons = {"mislabeled": _undecided(estimates["mislabeled"], result.get("samples", 0)), "anomalous": why}
    return {**result, "estimates": {name: _with_status(one, reasons.get(name)) for name, one in estimates.items()}}


def _with_status(estimate: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    if "status" in estimate:
        return dict(estimate)
    return {"status": "rough" if reason is None else "unknown", "reason": reason, **estimate}


def _undecided(estimate: Mapping[str, Any], samples: int) -> str | None:
    high = estimate.get("high") or 0
    return _EITHER.format(high=round(high)) if not estimate.get("low") and high > _MANY * samples else None
