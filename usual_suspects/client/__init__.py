"""HTTP client of the service, for programs and notebooks; the command line uses it, too."""

from usual_suspects.client.asynchronous.client import AsyncClient
from usual_suspects.client.errors import (
    ApiError,
    Conflict,
    Damaged,
    Forbidden,
    Gone,
    Invalid,
    JobCancelled,
    JobFailed,
    Malformed,
    NotAcceptable,
    NotFound,
    StorageFull,
    TooLarge,
    TooMany,
    TooSlow,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    UnreadableType,
    Upstream,
    WaitedTooLong,
)
from usual_suspects.client.events import ENDED, Update
from usual_suspects.client.requests import is_local
from usual_suspects.client.submissions.prepared import MissingPackage, UnsuitableData
from usual_suspects.client.synchronous.client import Client
from usual_suspects.client.synchronous.jobs import Job

__all__ = [
    "ENDED", "ApiError", "AsyncClient", "Client", "Conflict", "Damaged", "Forbidden", "Gone", "Invalid", "Job", "JobCancelled", "JobFailed",
    "Malformed", "MissingPackage", "NotAcceptable", "NotFound", "StorageFull", "TooLarge", "TooMany", "TooSlow", "Unauthorized", "Unavailable",
    "UnexpectedAnswer", "Unreachable", "UnreadableType", "UnsuitableData", "Update", "Upstream", "WaitedTooLong", "is_local",
]  # fmt: skip
