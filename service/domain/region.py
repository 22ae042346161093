"""Region of a map of samples: a polygon in one line, so that a link and a filter can carry it: `pca:0,0;1.5,0;1,2`."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

MapMethod = Literal["pca", "umap"]
MAP_METHODS: tuple[MapMethod, ...] = get_args(MapMethod)
LONGEST = 8_000  # characters
_LEAST, _MOST = 3, 400  # corners
_FORM = "a map and at least three corners, as in pca:0,0;1.5,0;1,2"


@dataclass(frozen=True)
class Region:
    """A polygon on a map; one that crosses itself contains what its line encloses an odd number of times."""

    method: MapMethod
    corners: tuple[tuple[float, float], ...]


def parse_region(text: str) -> Region:
    """The region that a line describes. Raises ValueError with what was expected."""
    name, found, rest = text.partition(":")
    method = next((one for one in MAP_METHODS if one == name.strip()), None)
    if method is None or not found:
        raise ValueError(f"expected {_FORM}; the maps are {', '.join(MAP_METHODS)}")
    corners = tuple(_corner(part) for part in rest.split(";"))
    if not _LEAST <= len(corners) <= _MOST:
        raise ValueError(f"expected {_LEAST} to {_MOST} corners; these are {len(corners)}")
    return Region(method, corners)


def _corner(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"expected {_FORM}; {text[:40]!r} is no corner") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"expected finite numbers; {text[:40]!r} is no corner")
    return x, y
