"""A small dataset with known mistakes, for an installation that has none: coloured shapes, some under a wrong label.

The images are drawn here, so that nobody must fetch anything; the same are drawn each time.
"""

import hashlib
import io
import math
import secrets
import zipfile
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from service.actions.upload import UploadedFile, upload
from service.domain.dataset import DatasetInfo, DatasetSpec
from service.domain.errors import disk_full
from service.services import Services

SAMPLES = 600
WRONG = 36  # drawn as one shape, put into the folder of another
_SIDE = 48
_SCALE = 4  # drawn larger, then reduced, for smooth edges
_SEED = 2506
_NAME = "Sample: shapes"
_DATE = (2025, 6, 13, 0, 0, 0)  # of each member, so that the archive has the same bytes each time

Point = tuple[float, float]


def create_sample_dataset(services: Services) -> DatasetInfo:
    """Draw and store the dataset, or give the one that is there."""
    path = services.blobs.uploads / f"{secrets.token_hex(16)}.part"
    content = _archive()
    try:
        with disk_full():
            path.write_bytes(content)
        file = UploadedFile(path, "shapes.zip", hashlib.sha256(content).hexdigest())
        return upload(services, file, DatasetSpec(name=_NAME))
    finally:
        path.unlink(missing_ok=True)


def _archive() -> bytes:
    """A ZIP of `class/image.png`, of which WRONG images show another shape than their folder says."""
    random = np.random.default_rng(_SEED)
    names = list(_SHAPES)
    shown = random.integers(len(names), size=SAMPLES)
    given = shown.copy()
    wrong = random.choice(SAMPLES, WRONG, replace=False)
    given[wrong] = (shown[wrong] + random.integers(1, len(names), size=WRONG)) % len(names)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        for number, (shape, label) in enumerate(zip(shown, given, strict=True)):
            image = io.BytesIO()
            _draw(names[shape], random).save(image, "PNG")
            written.writestr(zipfile.ZipInfo(f"{names[label]}/{number:03}.png", _DATE), image.getvalue())
    return archive.getvalue()


def _draw(shape: str, random: np.random.Generator) -> Image.Image:
    side = _SIDE * _SCALE
    ground, ink = random.integers(150, 256, size=3), random.integers(0, 130, size=3)
    image = Image.new("RGB", (side, side), tuple(ground.tolist()))
    centre = (side * random.uniform(0.42, 0.58), side * random.uniform(0.42, 0.58))
    radius, turn = side * random.uniform(0.22, 0.38), random.uniform(0, 2 * math.pi)
    _SHAPES[shape](ImageDraw.Draw(image), centre, radius, turn, tuple(ink.tolist()))
    return image.resize((_SIDE, _SIDE), Image.Resampling.BOX)


Ink = tuple[int, ...]
Drawer = Callable[[ImageDraw.ImageDraw, Point, float, float, Ink], None]


def _around(centre: Point, radii: list[float], turn: float) -> list[Point]:
    """Corners of a closed line, at equal angles around a centre."""
    steps = [turn + 2 * math.pi * place / len(radii) for place in range(len(radii))]
    return [
        (centre[0] + r * math.cos(angle), centre[1] + r * math.sin(angle))
        for r, angle in zip(radii, steps, strict=True)
    ]


def _polygon(corners: int) -> Drawer:
    def draw(canvas: ImageDraw.ImageDraw, centre: Point, radius: float, turn: float, ink: Ink) -> None:
        canvas.polygon(_around(centre, [radius * 1.1] * corners, turn), ink)

    return draw


def _star(canvas: ImageDraw.ImageDraw, centre: Point, radius: float, turn: float, ink: Ink) -> None:
    canvas.polygon(_around(centre, [radius * 1.2, radius * 0.48] * 5, turn), ink)


def _circle(canvas: ImageDraw.ImageDraw, centre: Point, radius: float, _turn: float, ink: Ink) -> None:
    canvas.circle(centre, radius, ink)


def _ring(canvas: ImageDraw.ImageDraw, centre: Point, radius: float, _turn: float, ink: Ink) -> None:
    canvas.circle(centre, radius, outline=ink, width=int(radius * 0.4))


def _cross(canvas: ImageDraw.ImageDraw, centre: Point, radius: float, turn: float, ink: Ink) -> None:
    for arm in (turn, turn + math.pi / 2):
        along = (radius * math.cos(arm), radius * math.sin(arm))
        ends = [(centre[0] - along[0], centre[1] - along[1]), (centre[0] + along[0], centre[1] + along[1])]
        canvas.line(ends, ink, width=int(radius * 0.5))


_SHAPES: dict[str, Drawer] = {
    "circle": _circle,
    "cross": _cross,
    "ring": _ring,
    "square": _polygon(4),
    "star": _star,
    "triangle": _polygon(3),
}
