"""Images drawn small for display: few pixels are decoded at once, and what was drawn last is kept."""

import asyncio
from collections.abc import AsyncIterator, Hashable
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

    async def draw(self, key: Hashable, image: StoredImage, side: int) -> bytes:
        """A PNG as `images.shown` makes it, kept by this key."""
        async with self._room(await to_thread.run_sync(images.decoded_pixels, image, side)):
            drawn = await to_thread.run_sync(images.shown, image.content, image.white, side)
        return self._kept.put(key, drawn)

    @asynccontextmanager
    async def _room(self, pixels: int) -> AsyncIterator[None]:
        """Wait until so many pixels may be decoded, in the order of the requests."""
        if pixels <= _SMALL:
            yield
            return
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
