"""Images drawn small: how many pixels are decoded at once, and what is kept."""

import asyncio
import io
import threading
import time
import weakref
from copy import copy
from functools import partial

import httpx
import pytest
from PIL import Image

from service.ingest import images
from service.ingest.images import StoredImage
from service.ingest.thumbnails import Thumbnails
from service.store.recent import Recent
from tests.builders import form, image_zip


def encoded(width: int, height: int, kind: str = "PNG", mode: str = "1") -> StoredImage:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, kind)
    return StoredImage(file.getvalue(), None)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pixels that are decoded at the beginning of each image."""
    held, seen, lock = {"pixels": 0}, [], threading.Lock()

    def draw(content: bytes, _white: float | None, _side: int) -> bytes:
        with Image.open(io.BytesIO(content)) as image:
            pixels = image.width * image.height
        with lock:
            held["pixels"] += pixels
            seen.append(held["pixels"])
        time.sleep(0.02)
        with lock:
            held["pixels"] -= pixels
        return b"drawn"

    monkeypatch.setattr(images, "shown", draw)
    return seen


def draw_all(thumbnails: Thumbnails, several: list[StoredImage]) -> None:
    async def at_once() -> None:
        await asyncio.gather(*(thumbnails.draw(place, partial(copy, one), 8) for place, one in enumerate(several)))

    asyncio.run(at_once())


def test_images_that_are_decoded_at_once_have_no_more_pixels_than_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(monkeypatch)
    draw_all(Thumbnails(5_000_000), [encoded(1_000, 2_000)] * 6)
    assert len(seen) == 6
    assert 2_000_000 < max(seen) <= 5_000_000


def test_an_image_larger_than_the_budget_is_drawn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(monkeypatch)
    draw_all(Thumbnails(1_500_000), [encoded(1_000, 2_000)] * 3)
    assert seen == [2_000_000] * 3


def test_a_small_image_waits_for_no_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watched(monkeypatch)
    draw_all(Thumbnails(2_000_000), [*[encoded(1_000, 2_000)] * 2, encoded(10, 10)])
    assert 2_000_100 in seen


def test_images_that_wait_hold_no_bytes_and_are_read_when_their_turn_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    watched(monkeypatch)
    content = encoded(1_000, 2_000).content
    read: list[weakref.ref[StoredImage]] = []
    held: list[int] = []

    def read_one() -> StoredImage:
        image = StoredImage(bytes(content), None)
        read.append(weakref.ref(image))
        return image

    draw = images.shown

    def noted(encoded_bytes: bytes, white: float | None, side: int) -> bytes:
        if len(read) > 6:  # all have been looked at
            held.append(sum(one() is not None for one in read))
        return draw(encoded_bytes, white, side)

    monkeypatch.setattr(images, "shown", noted)

    async def at_once() -> None:
        thumbnails = Thumbnails(2_000_000)
        await asyncio.gather(*(thumbnails.draw(place, read_one, 8) for place in range(6)))

    asyncio.run(at_once())
    assert len(read) == 12
    assert held
    assert max(held) == 1


def test_where_there_is_no_image_nothing_is_drawn() -> None:
    thumbnails = Thumbnails()
    assert asyncio.run(thumbnails.draw("a", lambda: None, 8)) is None
    assert thumbnails.kept("a") is None


def test_a_jpeg_counts_as_what_is_decoded_of_it() -> None:
    assert images.decoded_pixels(encoded(1_600, 1_600, "JPEG", "L"), 64) == 200**2
    assert images.decoded_pixels(encoded(1_600, 1_600, mode="L"), 64) == 1_600**2
    assert images.decoded_pixels(encoded(16, 10, mode="I;16"), 64) == 4 * 160


def test_an_image_that_was_drawn_is_not_drawn_again(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = form(image_zip(["a/1.png", "b/1.png"]), "images.zip", {"id": "file_name"})
    made = client.post("/datasets", **archive).json()["id"]
    drawn: list[int] = []

    shown = images.shown

    def counted(content: bytes, white: float | None, side: int) -> bytes:
        drawn.append(side)
        return shown(content, white, side)

    monkeypatch.setattr(images, "shown", counted)
    samples = client.get(f"/datasets/{made}/samples").json()["items"]
    for side in (16, 32):
        for one in samples:
            first, again = (client.get(one["links"]["media"], params={"side": side}) for _ in range(2))
            assert (first.content, first.headers["content-type"]) == (again.content, "image/png")
    assert sorted(drawn) == [16, 16, 32, 32]


def test_what_is_kept_has_a_limit_of_bytes() -> None:
    kept: Recent[bytes] = Recent(10, size=len)
    for key, value in (("a", b"1234"), ("b", b"1234"), ("c", b"1234"), ("large", b"12345678901")):
        kept.put(key, value)
        if key == "c":
            assert [kept.get(one) for one in "abc"] == [None, b"1234", b"1234"]
    assert [kept.get(one) for one in ("b", "c", "large")] == [None, None, None]
