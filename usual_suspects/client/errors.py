"""Errors of the client, one class for each kind that the API answers with.

`code` is the stable last part of the problem's `type`; the words are those of the service.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

import httpx

ADVICE = "Start one with `suspects up`, or name it by SUSPECTS_URL"


class ApiError(Exception):
    """The service answered with an error, or could not be reached.

    `status` is that of HTTP, None where there was no answer. `errors` are faults of single fields, each with `loc` and `msg`.
    `members` are further facts, such as the `state` that was in the way. `retry_after` is in seconds.
    """

    def __init__(
        self,
        title: str,
        detail: str,
        errors: list[dict[str, Any]] | None = None,
        *,
        status: int | None = None,
        members: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{title}: {detail}")
        self.title, self.detail, self.errors = title, detail, errors or []
        self.status, self.members, self.retry_after = status, dict(members or {}), retry_after

    code: ClassVar[str] = "error"


class Malformed(ApiError):
    """The request cannot be read."""

    code = "malformed"


class Unauthorized(ApiError):
    """The key is missing or unknown: set SUSPECTS_KEY, or give `key`."""

    code = "unauthorized"


class Forbidden(ApiError):
    """Not allowed from this address, or with this key."""

    code = "forbidden"


class NotFound(ApiError):
    """There is no resource with this id."""

    code = "not_found"


class NotAcceptable(ApiError):
    """The resource is not to be had in any form that was asked for."""

    code = "not_acceptable"


class Conflict(ApiError):
    """The state of the resource does not allow the request; `members` says which."""

    code = "conflict"


class Gone(ApiError):
    """The result will never exist, such as the ranking of a failed job."""

    code = "gone"


class TooLarge(ApiError):
    """Beyond a limit of the installation, which the detail names."""

    code = "too_large"


class UnreadableType(ApiError):
    """The file has a format that the service cannot read."""

    code = "unreadable_type"


class Invalid(ApiError):
    """The request was understood and cannot be accepted; `errors` names fields, lines and columns."""

    code = "invalid"


class TooMany(ApiError):
    """Too many requests or jobs wait; it was tried again as often as the client does."""

    code = "too_many"


class Upstream(ApiError):
    """A server that the request names, such as a labelling tool, cannot be reached or refuses."""

    code = "upstream"


class StorageFull(ApiError):
    """The disk of the service is full; nothing of the request was kept."""

    code = "storage_full"


class TooSlow(ApiError):
    """The request was sent too slowly."""

    code = "too_slow"


class Damaged(ApiError):
    """A file of the service is not as it was written; the detail names it and the cure."""

    code = "damaged"


class Unavailable(ApiError):
    """A part of the service, such as its database, cannot be reached."""

    code = "unavailable"


class Unreachable(ApiError):
    """Nothing answers at the address."""

    code = "unreachable"


class UnexpectedAnswer(ApiError):
    """What answers is not this service, or one that this client is too old for."""

    code = "unexpected_answer"


class JobFailed(ApiError):
    """A job that was waited for failed; `job_code` is the stable code of the reason, `detail` what to change."""

    code = "job_failed"

    def __init__(self, job: str, job_code: str, detail: str) -> None:
        super().__init__(f"{job} failed", detail)
        self.job, self.job_code = job, job_code


class JobCancelled(ApiError):
    """A job that was waited for was cancelled."""

    code = "job_cancelled"


class WaitedTooLong(ApiError, TimeoutError):
    """A job that was waited for had not ended in time; it goes on."""

    code = "waited_too_long"


_ANSWERED: dict[str, type[ApiError]] = {
    one.code: one
    for one in (
        Malformed, Unauthorized, Forbidden, NotFound, NotAcceptable, Conflict, Gone, TooLarge, UnreadableType, Invalid, TooMany,
        Upstream, StorageFull, Unavailable,
    )
}  # fmt: skip
# Of answers that are no problem details, such as those of a proxy.
_BY_STATUS: dict[int, type[ApiError]] = {
    400: Malformed, 401: Unauthorized, 403: Forbidden, 404: NotFound, 406: NotAcceptable, 409: Conflict, 410: Gone, 413: TooLarge,
    415: UnreadableType, 422: Invalid, 429: TooMany, 502: Unavailable, 503: Unavailable, 504: Unavailable, 507: StorageFull,
}  # fmt: skip
_OWN = {"type", "title", "status", "detail", "code", "errors"}


def error_of(answer: httpx.Response) -> ApiError:
    """The error of an answer whose body was read; its words are those of the service."""
    problem: dict[str, Any] = {"detail": answer.text[:500]}
    with suppress(ValueError):
        body = answer.json()
        problem = body if isinstance(body, dict) else problem
    kind = _ANSWERED.get(str(problem.get("code"))) or _BY_STATUS.get(answer.status_code, ApiError)
    return kind(
        problem.get("title") or f"{answer.status_code} {answer.reason_phrase}",
        problem.get("detail") or "",
        problem.get("errors"),
        status=answer.status_code,
        members={name: value for name, value in problem.items() if name not in _OWN},
        retry_after=_seconds(answer.headers.get("Retry-After")),
    )


def unreachable(url: str, error: Exception) -> Unreachable:
    """The error of an address at which nothing answers."""
    return Unreachable("Cannot reach the service", f"{url}: {error}. {ADVICE}")


def _seconds(value: str | None) -> float | None:
    with suppress(TypeError, ValueError):
        return max(0.0, float(str(value)))
    return None
