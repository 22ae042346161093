"""HTTP statuses of errors, and problem details (RFC 9457). No other module maps errors to statuses."""

import json
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any

import sqlalchemy as sa
import structlog
from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from service.api.http.safe_headers import SAFE_HEADERS
from service.api.http.unknown_fields import unknown_field
from service.domain.errors import (
    Conflict,
    Damaged,
    FieldError,
    Forbidden,
    Gone,
    Invalid,
    Malformed,
    NotAcceptable,
    NotFound,
    StorageFull,
    SuspectsError,
    TooLarge,
    TooMany,
    TooSlow,
    Unauthorized,
    Unavailable,
    UnreadableType,
    Upstream,
    invalid_fields,
    is_disk_full,
)
from service.logs import without_secret
from service.store import datasets, jobs

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
REQUEST_ID = "X-Request-ID"
_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_RETRY_DATABASE_S = 5
_LISTED = 100  # faults of a body
_LONGEST, _LONGEST_DETAIL = 2_000, 8_000  # characters: what a client sent is not sent back whole

STATUSES: dict[type[SuspectsError], int] = {
    Malformed: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    NotAcceptable: 406,
    Conflict: 409,
    Gone: 410,
    TooLarge: 413,
    UnreadableType: 415,
    Invalid: 422,
    TooSlow: 408,
    TooMany: 429,
    Damaged: 500,
    Upstream: 502,
    Unavailable: 503,
    StorageFull: 507,
}
MEANINGS: dict[int, str] = {
    400: "Malformed: broken JSON, a missing part, a cursor of another list.",
    401: "No key, or one that is not known.",
    403: "Not allowed from this address: no keys are configured, and the request did not come over loopback.",
    404: "No such id.",
    406: "No accepted media type is available.",
    409: "The present state does not allow it; `state` or `jobs` says what prevents it.",
    410: "There is no result: the job failed or was cancelled.",
    413: "Larger than the limit of this installation.",
    415: "A type of body or file that cannot be read.",
    422: "Invalid; `errors` names the fields or query parameters, or line and column of the file.",
    429: "Too many jobs wait, or too many uploads are being read; `Retry-After` says when to come back.",
    500: "An error of the service, or a file of it that is damaged; `detail` names the file and the cure.",
    502: "A server that the request names, for example a labelling tool, cannot be reached or refuses; `detail` has its answer.",
    503: "The database, the broker or another part cannot be reached.",
    507: "The disk is full; nothing was kept.",
}
_HTTP_CODES = {400: "malformed", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Problem(BaseModel):
    """An error, after RFC 9457. `code` is stable and the last part of `type`; other members depend on it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:usual-suspects:problem:invalid"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["training.epochs: Input should be greater than or equal to 1"])
    code: str = Field(examples=["invalid"])
    errors: list[FieldError] | None = Field(None, description="For bad input: the faults, each with its place.")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these error statuses, each with a problem as body."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses
    }


class _ProblemResponse(JSONResponse):
    """Response whose text has a question mark in place of half of a surrogate pair, which a client may have sent."""

    def render(self, content: object) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    members: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Problem details as a response; `code` is stable, `members` are further facts for programs."""
    body: dict[str, object] = {
        "type": f"urn:usual-suspects:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _short(detail, _LONGEST_DETAIL),
        "code": code,
    }
    if errors:
        body["errors"] = [_short_fault(error).model_dump() for error in _first(errors)]
    return _ProblemResponse({**body, **(members or {})}, status, dict(headers or {}), MEDIA_TYPE)


def _first(errors: Sequence[FieldError]) -> Sequence[FieldError]:
    more = len(errors) - _LISTED - 1
    if more <= 0:
        return errors
    return [*errors[:_LISTED], FieldError(loc=[], msg=f"{more + 1:,} more faults are not listed")]


def _short_fault(error: FieldError) -> FieldError:
    places = [_short(part, _LONGEST) if isinstance(part, str) else part for part in error.loc]
    return FieldError(loc=places, msg=_short(error.msg, _LONGEST))


def _short(text: str, most: int) -> str:
    more = len(text) - most
    return f"{text[:most]}… and {more:,} more characters" if more > 0 else text


def problem_response(error: SuspectsError) -> JSONResponse:
    """Problem details of an error of the domain, with `Retry-After` where it says when to try again."""
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if status == HTTPStatus.REQUEST_TIMEOUT:
        headers["Connection"] = "close"
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="usual-suspects"'
    return problem(status, error.code, error.detail, errors=error.errors, members=error.members, headers=headers)


def field_errors(error: ValidationError, wanted: Any, value: object, *within: str) -> list[FieldError]:
    """Errors of pydantic in `value`, which should be `wanted` and is at `within` in the body: one for each place."""
    found: dict[tuple[str | int, ...], list[str]] = {}
    # What was sent is not repeated: written out for each of many faults it takes minutes.
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        place = tuple(_place(fault["loc"], value))
        is_unknown = fault["type"] == "extra_forbidden" and len(found) < _LISTED
        said = unknown_field(wanted, place, within) if is_unknown else _message(fault["msg"])
        found.setdefault(place, []).append(said)
    listed = [
        FieldError(loc=[*within, *place], msg="; or: ".join(each)) for place, each in islice(found.items(), _LISTED)
    ]
    more = len(found) - len(listed)
    return [*listed, FieldError(loc=[*within], msg=f"{more:,} more faults are not listed")] if more else listed


def _place(loc: Sequence[str | int], value: Any) -> Iterator[str | int]:
    for part in loc:
        if isinstance(value, Mapping) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part]
        else:
            continue  # the name of one branch of several, not of a place
        yield part


def _message(msg: object) -> str:
    return str(msg).removeprefix("Value error, ")


# What code raises that finds a file missing, fewer rows than it has counted, or no value where there was one.
LOST_WHILE_READ = (FileNotFoundError, ValueError, LookupError, TypeError)


def install(app: FastAPI) -> None:
    """Answer every error of the application with problem details."""
    app.add_exception_handler(SuspectsError, _suspects_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(sa.exc.OperationalError, _database_error)
    for kind in LOST_WHILE_READ:
        app.add_exception_handler(kind, _deleted_while_read)
    app.add_exception_handler(Exception, _unforeseen)


def _suspects_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SuspectsError)
    if isinstance(error, Damaged) and request.app.state.services.blobs.forget(error):
        return problem_response(Unavailable("a copy of a file was damaged and is fetched again", retry_after=1))
    return problem_response(error)


def _validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return problem_response(
        invalid_fields([FieldError(loc=list(one["loc"]), msg=_message(one["msg"])) for one in error.errors()])
    )


def _http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = error.status_code
    detail = {
        404: f"no such path: {without_secret(request.url.path)}; see /docs",
        405: f"{request.method} is not answered here; see /docs",
    }.get(status, str(error.detail))
    headers = {"Allow": _allowed(request)} if status == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
    return problem(status, _HTTP_CODES.get(status, "error"), detail, headers=headers)


def _allowed(request: Request) -> str:
    """The methods of a path. Each has a route of its own, of which the router names the first alone."""
    routes = request.app.router.routes
    asked = ({**request.scope, "method": method, "path_params": {}} for method in _METHODS)
    found = [one["method"] for one in asked if any(route.matches(one)[0] is Match.FULL for route in routes)]
    return ", ".join(sorted([*found, *(["HEAD"] if "GET" in found else [])]))


def _disconnected(_request: Request, _error: Exception) -> JSONResponse:
    # Nobody reads this; but it is no fault of the service, and the log need not say so.
    return problem_response(Malformed("the connection ended before the body did"))


def _database_error(_request: Request, error: Exception) -> JSONResponse:
    if is_disk_full(error):
        return problem_response(StorageFull("the disk of this installation is full; nothing was kept"))
    log.error("database error", error=str(error))
    headers = {"Retry-After": str(_RETRY_DATABASE_S)}
    return problem(503, "unavailable", "the database cannot be reached; try again soon", headers=headers)


def deleted_meanwhile(request: Request) -> str | None:
    """The id of the job or the dataset in a path where it is there no more, though the request had found it."""
    services = request.app.state.services
    with services.database.read() as connection:
        for name, get in (("job_id", jobs.get), ("dataset_id", datasets.get)):
            wanted: str | None = request.path_params.get(name)
            if wanted is not None and get(connection, wanted) is None:
                return wanted
    return None


def _deleted_while_read(request: Request, error: Exception) -> JSONResponse:
    """Not found, where the job or the dataset of the path was deleted while it was read. Raises any other error again."""
    name = deleted_meanwhile(request)
    if name is None:
        raise error
    log.info("deleted while it was read", error=repr(error))
    return problem_response(NotFound(f"{name} was deleted in the meantime"))


def _unforeseen(_request: Request, error: Exception) -> JSONResponse:
    if is_disk_full(error):
        return problem_response(StorageFull("the disk of this installation is full; nothing was kept"))
    log.error("unforeseen error", exc_info=error)
    # This answer is made outside of the middleware that puts the id on all others.
    headers = {**SAFE_HEADERS, REQUEST_ID: correlation_id.get() or ""}
    return problem(500, "internal", "an error of the service; its log has the details", headers=headers)
