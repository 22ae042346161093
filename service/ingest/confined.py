"""Reading of uploads in processes of their own, which limits hold: no file costs this process more than its request.

A server process has imported the readers and is forked for each upload, so that a small one does not wait for imports.
What comes back is JSON: nothing that a file might have made of its reader is unpickled here.
"""

import errno
import json
import multiprocessing
import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import structlog
from pydantic import TypeAdapter

from service.domain.dataset import DatasetSpec
from service.domain.errors import FieldError, Malformed, SuspectsError, TooLarge, TooMany
from service.ingest.confinement import Confinement
from service.ingest.ingest import Ingested, ingest, moved_votes, place
from service.ingest.limits import Limits
from service.ingest.networks import network_content

log = structlog.get_logger()

_PRELOADED = ["__main__", "service.ingest.preloaded"]
_POLL_S = 0.25
_LONGEST_ANSWER = 256 * 2**20
_RETRY_S = 30
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
_MEMORY, _SECONDS, _EXPANDED = "SUSPECTS_INGEST_MEMORY_BYTES", "SUSPECTS_INGEST_SECONDS", "SUSPECTS_MAX_EXPANDED_BYTES"
_ingested: TypeAdapter[Ingested] = TypeAdapter(Ingested)


class ToRead(Protocol):
    """One upload that is to be read. `found` does it, and gives JSON."""

    @property
    def source(self) -> Path:
        """The upload."""

    def found(self) -> Any:
        """What is found in it. Raises SuspectsError."""


@dataclass(frozen=True)
class Reading:
    """One dataset that is to be read, with the arguments of `ingest`."""

    source: Path
    filename: str
    spec: DatasetSpec
    data: Path
    skipped: Path
    limits: Limits

    def found(self) -> Any:
        """What `ingest` gives. The names of columns in the canonical file are left out of what clients are shown, and so of the JSON."""
        found = ingest(self.source, self.filename, self.spec, self.data, self.skipped, self.limits)
        return {"found": _ingested.dump_python(found, mode="json"), "columns": [one.column for one in found.features]}


@dataclass(frozen=True)
class _NetworkReading:
    """One network that is to be read, with the arguments of `network_content`."""

    source: Path
    max_bytes: int

    def found(self) -> Any:
        """What `network_content` gives."""
        return network_content(self.source, self.max_bytes)


class IngestProcesses:
    """Reads uploads, `most` at once; others wait, and are refused where more than `waiting` wait already."""

    def __init__(self, confinement: Confinement | None = None, most: int = 2, waiting: int = 16) -> None:
        self._confinement = confinement or Confinement()
        self._free = threading.Semaphore(most)
        self._held, self._lock, self._room = 0, threading.Lock(), most + waiting

    def start(self) -> None:
        """Start the server process, so that the first upload does not wait for its imports."""
        _context()
        forkserver.ensure_running()

    def ingest(self, reading: Reading, check: Callable[[], None]) -> Ingested:
        """What `ingest` gives and raises. Also raises TooMany, and TooLarge for a file that took more than the confinement.

        `check` is called a few times a second; what it raises ends the process that reads.
        """
        with self._place(check):
            reading.data.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".ingest-", dir=reading.data.parent) as folder:
                data, skipped = Path(folder) / "data", Path(folder) / "skipped"
                apart = Reading(reading.source.resolve(), reading.filename, reading.spec, data, skipped, reading.limits)
                found = _read_apart(apart, self._confinement, check)
                place(((skipped, reading.skipped), *moved_votes(data, reading.data), (data, reading.data)))
        features = zip(found["found"]["features"], found["columns"], strict=True)
        named = [{**one, "column": name} for one, name in features]
        return _ingested.validate_python({**found["found"], "features": named})

    def network_content(self, source: Path, max_bytes: int, check: Callable[[], None]) -> dict[str, Any]:
        """What `network_content` gives and raises, and further as `ingest`."""
        found: dict[str, Any] = self.run(_NetworkReading(source.resolve(), max_bytes), check)
        return found

    def run(self, reading: ToRead, check: Callable[[], None]) -> Any:
        """What its `found` gives and raises, and further as `ingest`."""
        with self._place(check):
            return _read_apart(reading, self._confinement, check)

    @contextmanager
    def _place(self, check: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            if self._held >= self._room:
                raise TooMany("too many uploads are being read; try again later", retry_after=_RETRY_S)
            self._held += 1
        try:
            while not self._free.acquire(timeout=_POLL_S):
                check()
            try:
                yield
            finally:
                self._free.release()
        finally:
            with self._lock:
                self._held -= 1


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)  # which counts where the server process is not there yet
    return context


def _read_apart(reading: ToRead, confinement: Confinement, check: Callable[[], None]) -> Any:
    """Read in a process of its own, which has ended when this returns or raises."""
    size = reading.source.stat().st_size
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = _context().Process(target=_read, args=(sender, reading, confinement), daemon=True, name="ingest")
    with receiver:
        with sender:  # closed here, so that the pipe ends with the process
            process.start()
        try:
            answer = _answer(receiver, confinement.clock_seconds(size), check)
            if answer is None:
                process.join()  # its exit code says why
        except TimeoutError as error:
            raise _too_slow(confinement, size, "by the clock") from error
        finally:
            process.kill()
            process.join()
    if answer is None:
        raise _ending(process.exitcode, confinement, size)
    return _told(answer, confinement)


def _answer(receiver: Connection, seconds: float, check: Callable[[], None]) -> Any:
    """What the process says; None where it ended without a word. Raises TimeoutError, and what `check` raises."""
    deadline = time.monotonic() + seconds
    while not receiver.poll(_POLL_S):
        check()
        if time.monotonic() > deadline:
            raise TimeoutError
    try:
        return json.loads(receiver.recv_bytes(_LONGEST_ANSWER))
    except EOFError:
        return None


def _told(answer: Any, confinement: Confinement) -> Any:
    """The result in an answer. Raises the error in it."""
    match answer:
        case {"found": found}:
            return found
        case {"error": code, "detail": detail, "errors": errors, "members": members}:
            kind = next(one for one in SuspectsError.__subclasses__() if one.code == code)
            raise kind(detail, errors=[FieldError.model_validate(one) for one in errors], members=members)
        case {"beyond": "memory"}:
            raise _too_much_memory(confinement)
        case {"beyond": _}:
            raise TooLarge(
                f"reading it writes a file of more than {confinement.file_bytes:,} bytes; {_EXPANDED} sets half of that limit"
            )
        case _:
            raise RuntimeError(f"the process that read an upload failed: {answer['failed']}")


def _ending(code: int | None, confinement: Confinement, size: int) -> SuspectsError:
    """The error for a process that ended without an answer."""
    log.warning("a process that read an upload ended early", code=code, bytes=size)
    if code == -signal.SIGXCPU:
        return _too_slow(confinement, size, "of processor time")
    if code is not None and -code in _CRASHES:
        msg = (
            f"the file is damaged, or needs more than {confinement.memory_bytes:,} bytes of memory ({_MEMORY}): its reader was "
            f"ended by {signal.Signals(-code).name}"
        )
        return Malformed(msg, errors=[FieldError(loc=["file"], msg=msg)])
    return _too_much_memory(confinement)


def _too_slow(confinement: Confinement, size: int, kind: str) -> TooLarge:
    seconds = confinement.clock_seconds(size) if kind == "by the clock" else confinement.processor_seconds(size)
    return TooLarge(
        f"reading it takes more than {seconds:,.0f} s {kind}, the limit of this installation for a file of its size; "
        f"{_SECONDS} sets it"
    )


def _too_much_memory(confinement: Confinement) -> TooLarge:
    return TooLarge(
        f"reading it takes more than {confinement.memory_bytes:,} bytes of memory, the limit of this installation; {_MEMORY} sets it"
    )


def _read(sender: Connection, reading: ToRead, confinement: Confinement) -> None:
    """Read an upload under limits and send what came of it: the main function of the process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    confinement.enter(reading.source.stat().st_size)
    try:
        answer: dict[str, Any] = {"found": reading.found()}
    except SuspectsError as error:
        errors = [one.model_dump() for one in error.errors]
        answer = {"error": error.code, "detail": error.detail, "errors": errors, "members": error.members}
    except MemoryError:
        answer = {"beyond": "memory"}
    except OSError as error:
        answer = {"beyond": "file"} if error.errno == errno.EFBIG else {"failed": traceback.format_exc()}
    except BaseException:  # noqa: BLE001  it is raised again by the process that reads the answer
        answer = {"failed": traceback.format_exc()}
    sender.send_bytes(json.dumps(answer).encode())


def _end_with_parent() -> None:
    """End this process when the one that waits for it has ended, however that was."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
