"""Responses about keys and the audit log."""

from pydantic import BaseModel, Field

from service.api.schemas.page import Page
from service.domain.access import AuditLogEntry, KeyView


class KeyPage(Page[KeyView]):
    """Keys, newest first."""


class AuditLogPage(BaseModel):
    """Entries of the audit log, newest first. They are not counted: the log only grows."""

    items: list[AuditLogEntry]
    next: str | None = Field(description="Cursor of the next page; null on the last one.")
