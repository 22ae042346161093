"""Uploads rewritten in a process of their own, as they are read, and sent while they are written."""

import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from service.domain.errors import disk_full
from service.ingest.confined import IngestProcesses
from service.ingest.limits import Limits
from service.ingest.rewritten.edits import Edits
from service.ingest.rewritten.forms import rewritten
from service.ingest.streams import gathered
from service.store.originals import Original

_POLL_S = 0.02
_CHUNK = 1 << 20


@dataclass(frozen=True)
class _Rewriting:
    """One upload that is to be written again into the file `target`, with the arguments of `rewritten`."""

    original: Original
    label: str
    edits: Edits
    limits: Limits
    scratch: Path
    target: Path

    @property
    def source(self) -> Path:
        """The upload."""
        return self.original.path

    def found(self) -> None:
        """Write the file. Raises what `rewritten` raises, and StorageFull."""
        pieces = rewritten(self.original, self.label, self.edits, self.limits, self.scratch)
        with disk_full(), self.target.open("wb", buffering=0) as file:
            for piece in gathered(pieces):
                file.write(piece)


class _Abandoned(Exception):
    """Nobody reads what is written."""


class _Written:
    """A file while a process writes it. `opened` is closed with it."""

    def __init__(self, processes: IngestProcesses, rewriting: _Rewriting, opened: ExitStack) -> None:
        self._processes, self._rewriting, self._opened = processes, rewriting, opened
        self._ended, self._abandoned = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._write, daemon=True, name="rewriting")
        self._thread.start()

    def wait(self, check: Callable[[], None]) -> None:
        """Wait for the first bytes. Raises what ended the writing before, and what `check` raises."""
        while not self._ended.wait(_POLL_S):
            check()
            if self._rewriting.target.exists() and self._rewriting.target.stat().st_size:
                return
        self._raise()

    def pieces(self) -> Iterator[bytes]:
        """Nothing, then the bytes as they come. Raises what ends the writing early. Once begun, its end removes the files."""
        try:
            yield b""
            with self._rewriting.target.open("rb") as file:
                while True:
                    ended = self._ended.is_set()  # asked first: what is written after the reading is not the end
                    if chunk := file.read(_CHUNK):
                        yield chunk
                    elif ended:
                        self._raise()
                        return
                    else:
                        self._ended.wait(_POLL_S)
        finally:
            self.close()

    def close(self) -> None:
        """End the process, and remove its files."""
        self._abandoned.set()
        self._thread.join()
        self._opened.close()

    def _write(self) -> None:
        try:
            self._processes.run(self._rewriting, self._check)
        except BaseException as error:  # noqa: BLE001 - whoever reads raises it
            self._error = error
        finally:
            self._ended.set()

    def _check(self) -> None:
        if self._abandoned.is_set():
            raise _Abandoned

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def rewritten_apart(
    processes: IngestProcesses,
    original: Original,
    label: str,
    edits: Edits,
    limits: Limits,
    scratch: Path,
    check: Callable[[], None],
) -> Iterator[bytes]:
    """What `rewritten` gives and raises. Raises before the first piece also what `processes` raise, and what `check` does.

    It is written into a file of `scratch` as fast as the disk allows, so that a slow client holds up no upload.
    """
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix=".rewritten-", dir=scratch))).resolve()
        target = scratch.resolve() / f"{secrets.token_hex(16)}.part"
        opened.callback(target.unlink, missing_ok=True)
        original = replace(original, path=original.path.resolve())
        written = _Written(processes, _Rewriting(original, label, edits, limits, folder, target), opened.pop_all())
    try:
        written.wait(check)
    except BaseException:
        written.close()
        raise
    pieces = written.pieces()
    next(pieces)  # begun, so that the files go with it, even where nobody reads any
    return pieces
