"""Which samples lie in a region of a map."""

from typing import Any

import numpy as np
import numpy.typing as npt

from service.domain.errors import invalid
from service.domain.region import Region, parse_region
from service.store.open_rankings import OpenRanking

Array = npt.NDArray[Any]


def rows_in_region(ranking: OpenRanking, text: str) -> Array:
    """Which rows of the columns lie in the region that `text`, a valid one, describes: bool n. Raises Invalid where there is no such map."""
    known = ranking.searched.get(("region", text))
    if known is not None:
        return known
    region = parse_region(text)
    coordinates = ranking.columns.coordinates(region.method)
    if coordinates is None:
        raise invalid(["region"], f"this job has no map {region.method}; the answer with its maps says why")
    return ranking.searched.put(("region", text), inside(coordinates, region))


def inside(coordinates: Array, region: Region) -> Array:
    """Which of the points [n, 2] lie in the polygon: bool n. A point without a place lies nowhere."""
    corners = np.array(region.corners)
    near = _near(coordinates, corners)
    x, y = (coordinates[near, axis].astype(np.float64) for axis in (0, 1))
    (left, low), (right, high) = corners.min(0), corners.max(0)
    exactly = (x >= left) & (x <= right) & (y >= low) & (y <= high)
    near, x, y = near[exactly], x[exactly], y[exactly]
    crossings = np.zeros(len(near), bool)
    # A ray to the right crosses an odd number of sides from inside.
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        spans = (y0 > y) != (y1 > y)
        at = x0 + (y[spans] - y0) * (x1 - x0) / (y1 - y0) if spans.any() else x[spans]
        crossings[spans] ^= x[spans] < at
    found = np.zeros(len(coordinates), bool)
    found[near[crossings]] = True
    return found


def _near(coordinates: Array, corners: Array) -> Array:
    """The points in a box around the corners, and a few beside it: compared as they are stored, which takes a fourth of the time."""
    most = np.finfo(coordinates.dtype).max
    # Rounding keeps the order: no point inside is left out.
    low, high = (ends.clip(-most, most).astype(coordinates.dtype) for ends in (corners.min(0), corners.max(0)))
    is_near = np.ones(len(coordinates), bool)
    for axis in (0, 1):
        values = coordinates[:, axis]
        is_near &= values >= low[axis]
        is_near &= values <= high[axis]
    return np.flatnonzero(is_near)
