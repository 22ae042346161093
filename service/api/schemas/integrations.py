"""Responses about networks, connections and webhooks."""

from datetime import datetime

from pydantic import BaseModel, Field

from service.api.schemas.page import Page
from service.domain.connection import Connection
from service.domain.network import NetworkInfo
from service.store.webhooks import DeliveryState


class NetworkPage(Page[NetworkInfo]):
    """Uploaded networks, newest first."""


class ConnectionPage(Page[Connection]):
    """Connections, newest first."""


class ConnectionSecret(BaseModel):
    """Secret path under which the labelling tool calls this service. It is shown only once."""

    path: str = Field(description="Secret: who knows it can read predictions and start training.")
    url: str | None = Field(description="The same with SUSPECTS_PUBLIC_URL before it; null where that is not set.")


class DeliveryView(BaseModel):
    """One message to a webhook."""

    id: str = Field(description="Sent as webhook-id; the same in every attempt.")
    job: str
    event: str = Field(description="job.completed, job.failed or job.cancelled.")
    url: str = Field(description="Without its query.")
    state: DeliveryState
    attempts: int = Field(description="How many were made.")
    due_at: datetime | None = Field(description="When the next attempt is made; null when there will be none.")
    status: int | None = Field(description="What the receiver answered last; null when it could not be asked.")
    error: str | None = Field(description="Why the last attempt failed.")
    created_at: datetime
    ended_at: datetime | None


class DeliveryPage(Page[DeliveryView]):
    """Messages to webhooks, newest first."""
