"""Errors about an upload, and the translation of library errors into them."""

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

import pyarrow as pa

from service.domain.errors import FieldError, Invalid, Malformed, disk_full, invalid_fields

_LISTED = 30


def invalid(message: str, *where: str) -> Invalid:
    """The file is understood but cannot be used; `where` is a line or a column."""
    return Invalid(message, errors=[FieldError(loc=["file", *where], msg=message)])


def malformed(message: str, *where: str) -> Malformed:
    """The file is broken at `where`."""
    return Malformed(message, errors=[FieldError(loc=["file", *where], msg=message)])


def bad_spec(field: str, message: str, members: Mapping[str, object] | None = None) -> Invalid:
    """The client's spec does not fit the file; for `members` see SuspectsError."""
    return invalid_fields([FieldError(loc=["spec", field], msg=message)], members)


def no_such_column(field: str, name: str, columns: Sequence[str]) -> Invalid:
    """`spec.<field>` names a column that the file lacks."""
    close = get_close_matches(name, columns, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return bad_spec(field, f"no column {name!r}; the file has {listed(columns)}{hint}")


def listed(names: Sequence[str], most: int = _LISTED) -> str:
    """Names for a message, `most` of them at most."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what libraries say of a broken file into `Malformed`, and a full disk into `StorageFull`."""
    try:
        with disk_full():
            yield
    except RecursionError as error:
        raise malformed("the file holds a value that is nested too deeply") from error
    except MemoryError:  # Arrow's own is one of its exceptions too, and says nothing of the file
        raise
    except OSError as error:
        # Arrow reports corrupt data as an OSError without a number; those with one are the machine's own.
        if error.errno is not None:
            raise
        raise malformed(f"the file is damaged: {_first_line(error)}") from error
    except (
        UnicodeDecodeError,
        pa.ArrowException,
        zipfile.BadZipFile,
        tarfile.TarError,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
    ) as error:
        raise malformed(f"the file is damaged: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
