"""Answers of tools: fields that an agent needs, as pydantic models whose schemas the tools publish."""

from collections.abc import Iterable, Mapping
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from service.terminal.tools.picture import ShownImage

_TEXT = 300  # characters of one value
_COLUMNS = 30  # values of one sample

Json = Mapping[str, Any]


class ToolAnswer(BaseModel):
    """Answer of a tool. Its pictures are content of their own, beside the fields."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    _pictures: tuple[ShownImage, ...] = PrivateAttr(())

    @property
    def pictures(self) -> tuple[ShownImage, ...]:
        """Images that go with the answer."""
        return self._pictures

    def with_pictures(self, pictures: Iterable[ShownImage]) -> Self:
        """The same answer with images."""
        shown = self.model_copy()
        shown._pictures = tuple(pictures)  # noqa: SLF001 - its own
        return shown


Item = TypeVar("Item")


class PageAnswer(ToolAnswer, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    total: int = Field(description="Number of items of the whole list.")
    next: str | None = Field(None, description="`cursor` of the next page; null on the last.")


class WarningAnswer(BaseModel):
    """What numbers cannot be trusted for, and how to mend it."""

    code: str
    detail: str


class Done(ToolAnswer):
    """What was done."""

    id: str
    done: str


class WrittenFile(ToolAnswer):
    """A file that was written."""

    path: str = Field(description="Absolute path of the file.")
    bytes: int
    detail: str = ""


def warnings_of(items: Iterable[Json]) -> list[WarningAnswer]:
    """Warnings as the API has them."""
    return [WarningAnswer.model_validate(one) for one in items]


def rounded(value: Any) -> Any:
    """A value with six significant digits where it is a float; long texts cut, with the number of characters left out."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case str() if len(value) > _TEXT:
            return f"{value[:_TEXT]}… ({len(value) - _TEXT} more characters)"
        case dict():
            return {name: rounded(one) for name, one in value.items()}
        case list():
            return [rounded(one) for one in value]
        case _:
            return value


def row_of(features: Json) -> dict[str, Any]:
    """Values of a sample: at most 30, and one entry that says how many there are where some are left out."""
    shown = {name: rounded(value) for name, value in list(features.items())[:_COLUMNS]}
    return shown if len(features) <= _COLUMNS else {**shown, "…": f"{len(features) - _COLUMNS} more columns"}
