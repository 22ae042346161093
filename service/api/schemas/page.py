"""Part of a list."""

from typing import Generic, TypeVar

from pydantic import BaseModel, Field

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """Part of a list."""

    items: list[T]
    next: str | None = Field(description="Cursor of the next page; null on the last.")
    total: int = Field(description="How many items the whole list has.")
