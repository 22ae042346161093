"""Lists of the API, read a page at a time."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Generic, TypeVar

from usual_suspects.client.conversion import to_model
from usual_suspects.client.requests import Request
from usual_suspects.client.synchronous.transport import Transport

T = TypeVar("T")

LARGEST_PAGE = 1000


class Pages(Generic[T]):
    """Items of a list in the order of the API; nothing is asked for before they are needed.

    `limit` is the most items; None for all. Each iteration begins anew.
    """

    def __init__(
        self, transport: Transport, request: Request, read: Callable[[Any], T], limit: int | None = None
    ) -> None:
        if limit is not None and limit < 0:
            raise ValueError(f"limit is {limit}: give a number from 0 on, or None for all")
        self._transport, self._request, self._read, self._limit = transport, request, read, limit

    def __iter__(self) -> Iterator[T]:
        left, cursor = self._limit, None
        while left is None or left > 0:
            page = self._page(LARGEST_PAGE if left is None else min(left, LARGEST_PAGE), cursor)
            for item in page["items"][:left]:
                yield self._read(item)
            left = None if left is None else left - len(page["items"])
            cursor = page["next"]
            if cursor is None:
                return

    def to_list(self) -> list[T]:
        """All items. Raises ApiError."""
        return [item for item in self]

    def count(self) -> int:
        """How many items the whole list has, whatever the limit. Raises ApiError."""
        return int((self._page(1, None))["total"])

    def _page(self, limit: int, cursor: str | None) -> Any:
        query = {**self._request.query, "limit": limit, **({"cursor": cursor} if cursor else {})}
        return self._transport.send(replace(self._request, query=query))


def model(kind: type[T]) -> Callable[[Any], T]:
    """Reads an item as a model."""
    return lambda value: to_model(kind, value)
