"""Errors that are reported to clients. Their HTTP statuses are in service.api.http.errors alone."""

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_DATABASE = ("database or disk is full", "No space left on device", "could not extend file")


class FieldError(BaseModel):
    """One fault in what a client sent.

    `loc` is the path to it: field names, or `["file", "line 17", "column age"]` for a file.
    """

    model_config = ConfigDict(frozen=True)

    loc: list[str | int]
    msg: str


class SuspectsError(Exception):
    """An error that is reported to the client. `detail` says what was expected and how to correct it.

    `retry_after` is in seconds; `members` are further facts for programs, such as the state that was in the way.
    """

    code: ClassVar[str] = "error"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.retry_after = retry_after
        self.members = dict(members or {})


class Malformed(SuspectsError):
    """The request cannot be read: broken JSON, a missing form part, a damaged file."""

    code = "malformed"


class Unauthorized(SuspectsError):
    """The API key is missing or unknown."""

    code = "unauthorized"


class Forbidden(SuspectsError):
    """Not allowed from this address, whatever the key."""

    code = "forbidden"


class NotFound(SuspectsError):
    """There is no resource with this id."""

    code = "not_found"


class NotAcceptable(SuspectsError):
    """The resource cannot be given in any media type that the client accepts."""

    code = "not_acceptable"


class Conflict(SuspectsError):
    """The state of the resource does not allow the request."""

    code = "conflict"


class Gone(SuspectsError):
    """The resource will never exist, such as the results of a failed job."""

    code = "gone"


class TooLarge(SuspectsError):
    """Beyond a limit of this installation, which the detail names."""

    code = "too_large"


class UnreadableType(SuspectsError):
    """The file has a format that cannot be read."""

    code = "unreadable_type"


class Invalid(SuspectsError):
    """The request was understood and cannot be accepted; `errors` names fields, lines and columns."""

    code = "invalid"


class TooMany(SuspectsError):
    """There are too many requests or jobs; try again later."""

    code = "too_many"


class TooSlow(SuspectsError):
    """The client sends its request too slowly."""

    code = "too_slow"


class StorageFull(SuspectsError):
    """The disk is full; nothing of the request was kept."""

    code = "storage_full"


class Damaged(SuspectsError):
    """A file of the installation is not as it was written: bits flipped, or its end is missing. The detail names it and the cure.

    `path` is the file on this host, where it is one that the artefact store may have a copy of.
    """

    code = "damaged"
    path: Path | None = None


class Unavailable(SuspectsError):
    """A server that the service itself needs cannot be reached."""

    code = "unavailable"


class ArtefactsUnavailable(Unavailable):
    """The artefact store, which hosts share, cannot be reached or refuses. What was begun is tried again."""


class Upstream(SuspectsError):
    """A server that the client named, such as a labelling tool, cannot be reached or refuses."""

    code = "upstream"


def invalid(loc: Sequence[str | int], msg: str) -> Invalid:
    """One fault of what a client sent, at `loc` (see FieldError)."""
    return invalid_fields([FieldError(loc=[*loc], msg=msg)])


def invalid_fields(found: Sequence[FieldError], members: Mapping[str, object] | None = None) -> Invalid:
    """One error for several faults of what a client sent; for `members` see SuspectsError."""
    return Invalid(told_by_field(found), errors=found, members=members)


def told_by_field(found: Sequence[FieldError]) -> str:
    """Faults in one line, each after the name of its field."""
    return "; ".join(f"{'.'.join(map(str, fault.loc)) or 'body'}: {fault.msg}" for fault in found)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that a disk, or somebody's quota of it, is full: of a file, or of a database, whose text says it."""
    if isinstance(error, OSError):
        return error.errno in _DISK_FULL
    return any(words in str(error) for words in _FULL_DATABASE)


@contextmanager
def disk_full() -> Iterator[None]:
    """Raise StorageFull where the block fails because the disk is full. What it wrote is the caller's to remove."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise StorageFull("the disk of this installation is full; nothing was kept") from error
