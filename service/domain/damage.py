"""Damaged archives: the many errors that the standard library raises over them, told as one of ours."""

import errno
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.domain.errors import SuspectsError

# What the library raises over a damaged archive, beside its own errors.
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError,
    OverflowError, struct.error,
)  # fmt: skip


@contextmanager
def damage_told(telling: Callable[[Exception], SuspectsError]) -> Iterator[None]:
    """Raise what `telling` makes of the damage. Errors of the machine, a full disk say, stay what they are."""
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # a wrong offset makes it seek before the beginning
            raise
        raise telling(error) from error
    except _DAMAGE as error:
        raise telling(error) from error
