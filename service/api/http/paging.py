"""Pagination by opaque cursors, each of which belongs to one query."""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Query, Request, Response
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from service.domain.errors import FieldError, Malformed

_MARK_LENGTH = 8

# A place in a list that any database can count.
Index = Annotated[int, Field(ge=0, lt=2**63)]
PageLimit = Annotated[int, Query(ge=1, le=1000, description="How many items at most.")]
PageCursor = Annotated[str | None, Query(description="`next` of the page before; only for the same query.")]


def encode(query: Sequence[object], place: Sequence[object]) -> str:
    """Cursor of the page that begins after `place` in the list of this query."""
    packed = json.dumps([_mark(query), *place], separators=(",", ":"), default=str)
    return base64.urlsafe_b64encode(packed.encode()).rstrip(b"=").decode()


def decode(cursor: str, query: Sequence[object], place: Any) -> Any:
    """Place in a cursor, as the tuple type `place`. Raises Malformed for a broken cursor and for one of another query."""
    try:
        packed = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        mark, *rest = json.loads(packed)
        if mark == _mark(query):
            return TypeAdapter(place).validate_python(tuple(rest))
    except (ValueError, TypeError, RecursionError, ValidationError):
        pass
    raise bad_cursor()


def bad_cursor() -> Malformed:
    """The error for a cursor that is broken, or of another list."""
    msg = "not a cursor of this list with these filters; begin again without it"
    return Malformed(f"cursor: {msg}", errors=[FieldError(loc=["query", "cursor"], msg=msg)])


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Set the `Link` header (RFC 8288), relative to this host."""
    if cursor is not None:
        url = request.url.include_query_params(cursor=cursor)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'


class Dated(Protocol):
    """Item of a list that is ordered by (created_at, id)."""

    @property
    def id(self) -> str:
        """Tells apart what was made at the same moment; pages break the tie by it."""

    @property
    def created_at(self) -> datetime:
        """Creation time, UTC; the newest comes first."""


D = TypeVar("D", bound=Dated)


def cut(
    request: Request, response: Response, query: Sequence[object], found: Sequence[D], limit: int
) -> tuple[list[D], str | None]:
    """First `limit` of `found`, which holds one more where there is a next page, and the cursor of that, set as a link."""
    items = list(found[:limit])
    following = encode(query, [items[-1].created_at, items[-1].id]) if len(found) > limit else None
    link_next(request, response, following)
    return items, following


def by_time(cursor: str | None, query: Sequence[object]) -> tuple[datetime, str] | None:
    """Place in a list that is ordered by (created_at, id); None for the first page. Raises Malformed."""
    if cursor is None:
        return None
    place: tuple[datetime, str] = decode(cursor, query, tuple[AwareDatetime, str])
    return place


def _mark(query: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(list(query), default=str).encode()).hexdigest()[:_MARK_LENGTH]
