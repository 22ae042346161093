"""Images drawn small for display: few pixels are decoded at once, and what was drawn last is kept."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

from anyio import to_thread

from service.ingest import images
from service.ingest.images import StoredImage
from service.ingest.limits import Limits
from service.store.recent import Recent

_SMALL = 1_000_000  # pixels: such an image costs no more than other requests, and waits for no large one
_KEPT_BYTES = 64 * 2**20


class Thumbnails:
    """Draws the images of one application, whose event loop it belongs to.

    A PNG of 2 MB may have 50 megapixels, which take half a gigabyte while they are drawn: all images that are drawn at once have
    `most_pixels` together, and those that wait hold no thread, so that other requests are answered meanwhile.
    """

    def __init__(self, most_pixels: int = Limits.max_pixels, most_bytes: int = _KEPT_BYTES) -> None:
        self._most_pixels, self._held = most_pixels, 0
        self._turn, self._freed = asyncio.Lock(), asyncio.Event()
        self._kept: Recent[bytes] = Recent(most_bytes, size=len)

    def kept(self, key: Hashable) -> bytes | None:
        """What `draw` gave for this key, unless others were drawn since that take its place."""
        return self._kept.get(key)

    async def draw(self, key: Hashable, read: Callable[[], StoredImage | None], side: int) -> bytes | None:
        """A PNG as `images.shown` makes it, kept by this key; None where `read` gives no image.

        An image that must wait is read again when its turn comes: what waits holds no bytes.
        """
        found = await to_thread.run_sync(_drawn_if_small, read, side)
        if isinstance(found, int):
            async with self._room(found):
                found = await to_thread.run_sync(_drawn, read, side)
        return None if found is None else self._kept.put(key, found)

    @asynccontextmanager
    async def _room(self, pixels: int) -> AsyncIterator[None]:
        """Wait until so many pixels may be decoded, in the order of the requests."""
        taken = min(pixels, self._most_pixels)
        async with self._turn:
            while self._held + taken > self._most_pixels:
                self._freed.clear()
                await self._freed.wait()
            self._held += taken
        try:
            yield
        finally:
            self._held -= taken
            self._freed.set()


def _drawn_if_small(read: Callable[[], StoredImage | None], side: int) -> bytes | int | None:
    """The PNG of a small image; else the pixels that are decoded for it."""
    image = read()
    if image is None:
        return None
    pixels = images.decoded_pixels(image, side)
    return images.shown(image.content, image.white, side) if pixels <= _SMALL else pixels


def _drawn(read: Callable[[], StoredImage | None], side: int) -> bytes | None:
    image = read()
    return None if image is None else images.shown(image.content, image.white, side)
