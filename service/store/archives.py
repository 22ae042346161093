"""Damaged archives: one error of ours for the many that the standard library raises."""

import errno
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.domain.errors import SuspectsError

# The standard library raises these for a damaged archive, beside its own errors.
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError,
    OverflowError, struct.error,
)  # fmt: skip


@contextmanager
def damage_as(translate: Callable[[Exception], SuspectsError]) -> Iterator[None]:
    """Raise `translate(error)` in place of each error that damage causes.

    Errors of the machine, such as a full disk, stay as they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # a wrong offset makes it seek before the beginning
            raise
        raise translate(error) from error
    except _DAMAGE as error:
        raise translate(error) from error
