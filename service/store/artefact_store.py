"""The artefact store of an installation: objects in a bucket of S3, or files in another folder, by fsspec.

An object's key is the path of its file below `home`. s3fs sends large files in parts. Addresses and credentials are those that every
program of AWS reads: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, `AWS_PROFILE` and files in `~/.aws`.

`python -m service.store.artefact_store` prints as JSON whether it can be written.
"""

import json
import os
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.domain.errors import ArtefactsUnavailable, is_disk_full
from service.settings import Settings

_RETRY_S = 5
_AT_ONCE = 8  # files
_PARTS_AT_ONCE = 4  # of one file, 50 MB of memory each
_DELETED_AT_ONCE = 1000
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_MISSING = "SUSPECTS_ARTEFACTS names a bucket of S3, and s3fs is not installed: pip install 'usual-suspects[s3]'"


@dataclass(frozen=True)
class StoredArtefact:
    """An object's size in bytes, and when it was written."""

    size: int
    written: datetime


class ArtefactStore:
    """Objects under one URL, `s3://bucket/prefix` or `file:///folder`. Nothing is connected before the first use.

    Every method raises ArtefactsUnavailable where the store cannot be reached or refuses.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._scheme, _, self._root = self.url.partition("://")
        self._opening, self._opened = threading.Lock(), None

    def put(self, files: Mapping[str, Path]) -> None:
        """Write files under their keys, in place of what was there."""
        if not files:
            return
        with self._told("be written"):
            fs = self._files()
            if self._scheme == "file":
                for place in {Path(self._at(key)).parent for key in files}:
                    place.mkdir(parents=True, exist_ok=True)
            fs.put([str(path) for path in files.values()], [self._at(key) for key in files], batch_size=_AT_ONCE)

    def get(self, files: Mapping[str, Path]) -> None:
        """Read objects into files. Raises FileNotFoundError where one is not there."""
        with self._told("be read"):
            places = [self._at(key) for key in files]
            self._files().get(places, [str(path) for path in files.values()], batch_size=_AT_ONCE)

    def put_bytes(self, key: str, content: bytes) -> None:
        """Write one object, in place of what was there, by one request."""
        place = self._at(key)
        with self._told("be written"):
            if self._scheme == "file":
                Path(place).parent.mkdir(parents=True, exist_ok=True)
            self._files().pipe_file(place, content)

    def get_bytes(self, key: str) -> bytes:
        """What one object holds, by one request. Raises FileNotFoundError where it is not there."""
        # s3fs asks for the size first where it may read parts at once.
        options = {"max_concurrency": 1} if self._scheme == "s3" else {}
        with self._told("be read"):
            found: bytes = self._files().cat_file(self._at(key), **options)
        return found

    def under(self, prefix: str) -> dict[str, StoredArtefact]:
        """The objects of a folder and of all below it, or the one object of this key; all objects for an empty prefix."""
        with self._told("be listed"):
            try:
                found = self._files().find(self._at(prefix), detail=True)
            except FileNotFoundError as error:
                if _is_no_bucket(error):
                    raise
                return {}
        start = len(self._root) + 1
        return {
            str(one["name"])[start:]: StoredArtefact(int(one["size"]), _time(one))
            for one in found.values()
            if one["type"] == "file"
        }

    def remove(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there do not matter."""
        with self._told("be written"):
            for first in range(0, len(keys), _DELETED_AT_ONCE):
                self._delete([self._at(key) for key in keys[first : first + _DELETED_AT_ONCE]])

    def abandon_uploads(self, before: datetime) -> int:
        """Give up uploads in parts that began before then and were not completed: a process that is killed leaves them. Gives their number."""
        if self._scheme != "s3":
            return 0
        bucket, _, prefix = self._root.partition("/")
        with self._told("be cleaned"):
            fs = self._files()
            begun = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix).get("Uploads") or []
            old = [one for one in begun if one["Initiated"] < before]
            for one in old:
                fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"])
        return len(old)

    def probe(self) -> None:
        """Write, read and delete a small object. Raises ArtefactsUnavailable."""
        place = self._at(f"probes/{secrets.token_hex(8)}")
        with self._told("be written"):
            fs = self._files()
            if self._scheme == "file":
                Path(place).parent.mkdir(parents=True, exist_ok=True)
            fs.pipe_file(place, b"\0")
            fs.cat_file(place)
            fs.rm_file(place)

    def _delete(self, places: list[str]) -> None:
        if self._scheme == "s3":
            self._files().rm(places)
            return
        for place in map(Path, places):
            place.unlink(missing_ok=True)
            for folder in place.parents:
                if not folder.is_relative_to(self._root) or folder == Path(self._root):
                    break
                with suppress(OSError):  # it is not empty, or not there
                    folder.rmdir()

    def _at(self, key: str) -> str:
        return f"{self._root}/{key}".rstrip("/")

    def _files(self) -> Any:
        with self._opening:
            if self._opened is None:
                self._opened = _opened(self._scheme)
            return self._opened

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # botocore, aiohttp, asyncio and s3fs each have errors of their own
            if is_disk_full(error) or (isinstance(error, FileNotFoundError) and not _is_no_bucket(error)):
                raise
            detail = f"the artefact store {self.url} cannot {what}: {type(error).__name__}: {error}"
            raise ArtefactsUnavailable(detail, retry_after=_RETRY_S) from error


def _opened(scheme: str) -> Any:
    if scheme == "file":
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem(skip_instance_cache=True)
    try:
        from s3fs import S3FileSystem
    except ImportError as error:
        raise ImportError(_MISSING) from error
    # Servers of one's own answer under one name, whatever the bucket.
    style = {"addressing_style": "path"} if any(os.environ.get(name) for name in _ENDPOINTS) else {}
    retries = {"max_attempts": 2, "mode": "standard"}
    return S3FileSystem(
        use_listings_cache=False,  # other hosts write too
        skip_instance_cache=True,
        max_concurrency=_PARTS_AT_ONCE,
        config_kwargs={"connect_timeout": 5, "read_timeout": 60, "retries": retries, "s3": style},
    )


def _is_no_bucket(error: BaseException) -> bool:
    """Whether not only an object, but the whole bucket is missing."""
    answer = getattr(error.__cause__, "response", None) or {}
    return bool(answer.get("Error", {}).get("Code") == "NoSuchBucket")


def _time(found: Mapping[str, Any]) -> datetime:
    if "LastModified" in found:
        written: datetime = found["LastModified"]
        return written
    return datetime.fromtimestamp(found["mtime"], UTC)


def main() -> None:
    """Print whether the store of the settings can be written."""
    store = ArtefactStore(Settings().artefacts)
    try:
        store.probe()
    except (ArtefactsUnavailable, ImportError) as error:
        told = {"ok": False, "detail": str(error)}
    else:
        told = {"ok": True, "detail": f"{store.url} can be written"}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
