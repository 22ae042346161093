"""A region of a map has the points inside its polygon, as counting the sides of one point after the other finds them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.actions.rows_in_region import inside
from service.domain.region import Region

_PLACES = st.floats(-3, 3, width=32) | st.sampled_from([0.1, 0.25, 1.0, 3e38, -3e38])
_CORNERS = st.floats(-3, 3) | st.sampled_from([0.1, 0.25, 1.0, 1e150, -1e150])
_POINTS = st.lists(st.tuples(_PLACES, _PLACES) | st.just((np.nan, np.nan)), min_size=1)


@given(_POINTS, st.lists(st.tuples(_CORNERS, _CORNERS), min_size=3, max_size=6))
def test_a_region_has_the_points_from_which_a_ray_crosses_an_odd_number_of_sides(
    points: list[tuple[float, float]], corners: list[tuple[float, float]]
) -> None:
    places = np.array(points, np.float32)
    expected = [_is_inside(float(x), float(y), corners) for x, y in places]
    assert inside(places, Region("pca", tuple(corners))).tolist() == expected


def _is_inside(x: float, y: float, corners: list[tuple[float, float]]) -> bool:
    if not all(min(ends) <= at <= max(ends) for at, ends in zip((x, y), zip(*corners, strict=True), strict=True)):
        return False
    crossed = 0
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (y0 > y) != (y1 > y):
            crossed += x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return crossed % 2 == 1
