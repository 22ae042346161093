"""What Label Studio sends to its machine learning backends and webhooks, as much of it as is looked at."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ProjectNumber = Annotated[int, Field(ge=0, lt=2**63)]


class _Sent(BaseModel):
    """More may come with it, and is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class EventProject(_Sent):
    """The project that something happened in."""

    id: ProjectNumber


class Event(_Sent):
    """Something happened: an annotation was made, say. What exactly is read from the tool itself."""

    action: str = Field(max_length=100)
    project: EventProject


class EventTaken(BaseModel):
    """An event was heard; what comes of it is done afterwards."""

    model_config = ConfigDict(frozen=True)

    action: str
