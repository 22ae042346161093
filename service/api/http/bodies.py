"""Request bodies: JSON, or a multipart form whose file is streamed to disk and hashed on the way."""

import gc
import hashlib
import json
import secrets
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ValidationError
from streaming_form_data import StreamingFormDataParser
from streaming_form_data.parser import ParseFailedException, UnexpectedPartException
from streaming_form_data.targets import BaseTarget

from service.actions.upload import UploadedFile
from service.api.http.errors import field_errors
from service.api.http.lookup import ServicesDependency
from service.domain.errors import FieldError, Malformed, TooLarge, UnreadableType, disk_full, invalid, invalid_fields
from service.domain.json_values import of_json
from service.domain.names import one_line

M = TypeVar("M", bound=BaseModel)

_BLOCK = 2**20
_MAX_JSON = 16 * 2**20
_LARGE_JSON = 64 * 2**10
_MAX_NESTED = 500_000  # a list of decisions has fewer objects: the shortest takes 37 bytes
_MAX_PARTS, _MAX_NAMES, _MAX_NAME, _MAX_DEPTH = 1_000_000, 20_000, 1_000, 100


@dataclass(frozen=True)
class JsonContent:
    """A JSON body; `value` is what json.loads gives."""

    value: Any


@dataclass(frozen=True)
class FormContent:
    """A form: a file, which lies on the disk until the request ends, and what the client says of it."""

    file: UploadedFile
    spec: Any


async def _read(request: Request, services: ServicesDependency) -> AsyncIterator[JsonContent | FormContent]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        yield JsonContent(await _json(request))
        return
    if kind != "multipart/form-data":
        raise UnreadableType(
            f"a body of type {kind or 'unknown'} is not read here; send application/json, "
            "or multipart/form-data with a part named file"
        )
    path = services.blobs.uploads / f"{secrets.token_hex(16)}.part"
    try:
        yield await _form(request, path, services.settings.max_upload_bytes)
    finally:
        path.unlink(missing_ok=True)


Body = Annotated[
    JsonContent | FormContent, Depends(_read, scope="function")
]  # the file is gone before the answer comes


async def _read_json(request: Request) -> JsonContent:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnreadableType(f"a body of type {kind or 'unknown'} is not read here; send application/json")
    return JsonContent(await _json(request))


JsonBody = Annotated[JsonContent, Depends(_read_json)]


async def _read_optional_json(request: Request) -> JsonContent | None:
    has_body = "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
    return await _read_json(request) if has_body else None


OptionalJsonBody = Annotated[JsonContent | None, Depends(_read_optional_json)]


async def _only_form(body: Body) -> FormContent:
    if isinstance(body, JsonContent):
        raise UnreadableType("a JSON body is not read here; send multipart/form-data with a part named file")
    return body


FormBody = Annotated[FormContent, Depends(_only_form)]


def parsed(model: type[M], value: Any, *within: str, by_tool: bool = False) -> M:
    """The value as this model. Raises Invalid naming every field at fault, each `within` a part of the body.

    What is sent `by_tool`, which nobody here can change, may have a number where a text is expected, or the reverse.
    """
    if not isinstance(value, Mapping):
        raise invalid(within, "must be a JSON object")
    try:
        return model.model_validate(value) if by_tool else of_json(model, value)
    except ValidationError as error:
        raise invalid_fields(field_errors(error, model, value, *within)) from error


def names_connection(value: Any) -> bool:
    """Whether a JSON body asks for the tasks of a labelling tool."""
    return isinstance(value, Mapping) and value.get("connection") is not None


async def _loads(text: bytes, what: str) -> Any:
    """Parse small bodies at once, and large ones in a thread: other requests are answered while they are checked."""
    return loads(text, what) if len(text) <= _LARGE_JSON else await run_in_threadpool(loads, text, what)


def loads(text: bytes, what: str) -> Any:
    """Strict JSON: UTF-8, no NaN, no half characters. Raises Malformed, and TooLarge for what takes long to parse or to validate."""
    if text.count(b"[") + text.count(b"{") > _MAX_NESTED:
        raise TooLarge(f"JSON of more than {_MAX_NESTED:,} lists and objects; send data as a file")
    try:
        value = _parsed_json(text)
        _check_size(value)
        _check_text(value)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Malformed(
            f"{what} is not JSON: {error.msg} at {where}", errors=[FieldError(loc=[what, where], msg=error.msg)]
        ) from error
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{what} is not JSON that can be read: {error}") from error
    return value


_collector = threading.Lock()


def _parsed_json(text: bytes) -> Any:
    """Parse JSON. Of a large text without Python's collector, which would look ten times through what is parsed so far."""
    if len(text) <= _LARGE_JSON:
        return json.loads(text.decode(), parse_constant=_no_constant)
    with _collector:  # one at a time, as each would switch it on again for the others
        is_on = gc.isenabled()
        gc.disable()
        try:
            return json.loads(text.decode(), parse_constant=_no_constant)
        finally:
            if is_on:
                gc.enable()


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _check_size(value: Any) -> None:
    """Raise TooLarge for a value that takes long to validate: too many parts, too deep, too many names, or too long ones."""
    waiting, parts = [(value, 1)], 0
    while waiting:
        one, depth = waiting.pop()
        if not isinstance(one, dict | list):
            continue
        parts += len(one)
        if parts > _MAX_PARTS:
            raise TooLarge(f"JSON of more than {_MAX_PARTS:,} values; send data as a file")
        if depth > _MAX_DEPTH:
            raise TooLarge(f"JSON that is nested more than {_MAX_DEPTH} deep")
        if isinstance(one, dict):
            if len(one) > _MAX_NAMES:
                raise TooLarge(f"a JSON object of more than {_MAX_NAMES:,} names")
            if max(map(len, one), default=0) > _MAX_NAME:
                raise TooLarge(f"a name of more than {_MAX_NAME:,} characters in a JSON object")
        waiting += [(inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one)]


def _check_text(value: Any) -> None:
    """Raise ValueError for characters that no database keeps."""
    match value:
        case str():
            if "\0" in value or (not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value)):
                raise ValueError("a text holds a NUL character or half of a surrogate pair")
        case dict():
            for name, field in value.items():
                _check_text(name)
                _check_text(field)
        case list():
            for item in value:
                _check_text(item)


async def _json(request: Request) -> Any:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_JSON:
            raise TooLarge(f"a JSON body of more than {_MAX_JSON:,} bytes; send data as a file")
    return await _loads(bytes(body), "body")


class _File(BaseTarget):  # type: ignore[misc] # the library has no types
    """Writes a part to disk and takes its digest."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__()
        self._path, self._limit = path, limit
        self._file: IO[bytes] | None = None
        self.digest, self.size, self.complete = hashlib.sha256(), 0, False

    def on_start(self) -> None:
        if self._file is not None:
            raise Malformed("two parts named file; send one file")
        self._file = self._path.open("wb")

    def on_data_received(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self._limit:
            raise TooLarge(f"the file is larger than {self._limit:,} bytes, the limit of this installation")
        self.digest.update(chunk)
        assert self._file is not None
        self._file.write(chunk)

    def on_finish(self) -> None:
        assert self._file is not None
        self._file.close()
        self.complete = True

    def abandon(self) -> None:
        """Close what is half written; that a full disk does not take the rest is no news any more."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


class _Text(BaseTarget):  # type: ignore[misc] # the library has no types
    """Keeps a small part in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.begun, self.complete = bytearray(), False, False

    def on_start(self) -> None:
        if self.begun:
            raise Malformed("two parts named spec; send one")
        self.begun = True

    def on_data_received(self, chunk: bytes) -> None:
        self.value += chunk
        if len(self.value) > _MAX_JSON:
            raise TooLarge(f"a spec of more than {_MAX_JSON:,} bytes")

    def on_finish(self) -> None:
        self.complete = True


async def _form(request: Request, path: Path, limit: int) -> FormContent:
    file, spec = _File(path, limit), _Text()
    try:
        with disk_full():
            await _feed(request, file, spec)
    except UnexpectedPartException as error:
        raise Malformed(f"unknown part {error.part_name!r}; the parts are file and spec") from error
    except ParseFailedException as error:
        raise Malformed(f"the form cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise Malformed("the form cannot be read: names of parts and files must be UTF-8") from error
    finally:
        file.abandon()
    if not file.complete:
        msg = "no part named file, or the form ends before it does"
        raise Malformed(msg, errors=[FieldError(loc=["file"], msg=msg)])
    if spec.begun and not spec.complete:
        raise Malformed("the form ends within the part spec")
    filename = (file.multipart_filename or "upload").replace("\\", "/").rpartition("/")[2]
    value = await _loads(bytes(spec.value), "spec") if spec.value.strip() else {}
    return FormContent(UploadedFile(path, _readable(filename), file.digest.hexdigest()), value)


async def _feed(request: Request, file: _File, spec: _Text) -> None:
    # Parsing, hashing and writing block, so they run in a thread, a block at a time: memory stays flat.
    parser = StreamingFormDataParser({"content-type": request.headers["content-type"]}, strict=True)
    parser.register("file", file)
    parser.register("spec", spec)
    block = bytearray()
    async for chunk in request.stream():
        block += chunk
        if len(block) >= _BLOCK:
            await run_in_threadpool(parser.data_received, bytes(block))
            block.clear()
    await run_in_threadpool(parser.data_received, bytes(block))


def _readable(filename: str) -> str:
    """The name on one line, of characters that databases and logs keep."""
    return one_line(filename)[:200] or "upload"
