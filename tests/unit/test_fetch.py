"""Datasets by URL: what is fetched, and where the service never goes."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from service.domain.errors import Invalid, TooLarge
from service.outbound import addresses
from service.outbound.addresses import is_public
from service.outbound.fetch import fetch
from service.settings import Settings

CONTENT = b"a,b\n1,x\n2,y\n" * 1000


class Site(BaseHTTPRequestHandler):
    """Answers by path; notes who was asked for."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.headers["Host"].partition(":")[0], self.path))
        name, _, rest = self.path[1:].partition("/")
        if name == "to":
            self.send_response(302)
            self.send_header("Location", rest if ":" in rest else f"/{rest}")
            self.end_headers()
        elif name == "loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif name == "missing":
            self.send_error(404)
        else:
            content = gzip.compress(CONTENT) if name == "packed.csv.gz" else CONTENT
            self.send_response(200)
            if name == "packed.csv.gz":
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quietly."""


@pytest.fixture
def site() -> Iterator[int]:
    """Port of a web server on this machine."""
    Site.asked.clear()
    server = ThreadingHTTPServer(("0.0.0.0", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A name service: what each name resolves to, one look-up after another. 127.0.0.1 counts as public."""
    known: dict[str, list[str]] = {}

    def look_up(host: str, _port: int) -> list[str]:
        found = known.get(host, [host])
        return [found.pop(0) if len(found) > 1 else found[0]]

    monkeypatch.setattr(addresses, "_resolve", look_up)
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1" or is_public(address))
    return known


def settings(**changes: Any) -> Settings:
    return Settings().model_copy(update=changes)


def test_a_file_comes_with_its_name_and_digest(site: int, tmp_path: Path) -> None:
    target = tmp_path / "file"
    found = fetch(f"http://127.0.0.1:{site}/my%20data.csv?x=1", target, settings(allow_private_urls=True))
    assert (found.filename, found.digest) == ("my data.csv", hashlib.sha256(CONTENT).hexdigest())
    assert target.read_bytes() == CONTENT


def test_what_is_packed_stays_packed(site: int, tmp_path: Path) -> None:
    target = tmp_path / "file"
    fetch(f"http://127.0.0.1:{site}/packed.csv.gz", target, settings(allow_private_urls=True))
    assert gzip.decompress(target.read_bytes()) == CONTENT


def test_a_redirect_is_followed_and_names_the_file(site: int, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{site}/to/to/data.csv"
    assert fetch(url, tmp_path / "file", settings(allow_private_urls=True)).filename == "data.csv"


@pytest.mark.parametrize(
    ("path", "words"),
    [("loop", "redirects"), ("missing", "404"), ("to/ftp://x/y", "must begin with"), ("to/http:", "redirects")],
)
def test_what_leads_nowhere_is_refused(site: int, tmp_path: Path, path: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        fetch(f"http://127.0.0.1:{site}/{path}", tmp_path / "file", settings(allow_private_urls=True))
    assert caught.value.errors[0].loc == ["url"]


def test_a_file_beyond_the_limit_is_not_read_to_its_end(site: int, tmp_path: Path) -> None:
    allowed = settings(allow_private_urls=True, max_upload_bytes=len(CONTENT))
    fetch(f"http://127.0.0.1:{site}/data.csv", tmp_path / "file", allowed)
    with pytest.raises(TooLarge):
        fetch(
            f"http://127.0.0.1:{site}/data.csv",
            tmp_path / "file",
            allowed.model_copy(update={"max_upload_bytes": len(CONTENT) - 1}),
        )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "2130706433"])
def test_this_machine_is_never_asked(site: int, tmp_path: Path, host: str) -> None:
    with pytest.raises(Invalid, match=r"private address|is not known"):
        fetch(f"http://{host}:{site}/data.csv", tmp_path / "file", settings())
    assert Site.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "file:///etc/passwd",
        "/etc/passwd",
        "http://",
        "http://user:word@example.org/x",
        "http://[::1",
        "http://a:99999/",
        "http://" + "a" * 300 + "/",
        "",
    ],
)
def test_what_is_no_address_of_the_web_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(Invalid):
        fetch(url, tmp_path / "file", settings())


def test_a_redirect_into_the_private_network_is_refused(site: int, tmp_path: Path, names: dict[str, list[str]]) -> None:
    names |= {"files.example": ["127.0.0.1"], "inside.example": ["127.0.0.2"]}
    fetch(f"http://files.example:{site}/data.csv", tmp_path / "file", settings())
    for inside in (f"http://127.0.0.2:{site}/secret", f"http://inside.example:{site}/secret"):
        with pytest.raises(Invalid, match="private address"):
            fetch(f"http://files.example:{site}/to/{inside}", tmp_path / "file", settings())
    assert [path for _, path in Site.asked if path == "/secret"] == []


def test_the_address_that_was_checked_is_the_one_that_is_asked(
    site: int, tmp_path: Path, names: dict[str, list[str]]
) -> None:
    # A second look-up would give the private address, and no connection.
    names["files.example"] = ["127.0.0.1", "10.255.255.1"]
    fetch(f"http://files.example:{site}/data.csv", tmp_path / "file", settings())
    assert Site.asked == [("files.example", "/data.csv")]
    assert names["files.example"] == ["10.255.255.1"]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254",
        "ff02::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "fec0::1", "::7f00:1", "192.0.0.192", "192.88.99.1", "5f00::1", "::ffff:192.0.0.192",
    ],
)  # fmt: skip
def test_addresses_of_the_inside_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_addresses_of_the_outside_are_known(address: str) -> None:
    assert is_public(address)
