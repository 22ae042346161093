"""Greyscale pixels of more than 8 bits, scaled to 8 bits: models and people see the same picture."""

from typing import Any

import numpy as np
import numpy.typing as npt


def to_eight_bits(pixels: npt.NDArray[Any], *, integers: bool, white: float | None) -> npt.NDArray[np.uint8]:
    """Scale pixels of any shape linearly, so that 0 stays 0 and `white` becomes 255.

    `white` is the brightest value of the whole dataset (see `service.domain.dataset.WHITE_KEY`), so that a dark image
    stays darker than a bright one. Without it, white is 65535 for `integers`, and this image's largest value for
    fractions. NaN, infinite and negative pixels become 0.
    """
    values = np.where(np.isfinite(pixels), pixels, 0).astype(np.float64)
    if white is None:
        white = 65535.0 if integers else float(values.max(initial=0))
    scaled: npt.NDArray[np.uint8] = np.round(np.clip(values / max(white, 1e-9), 0, 1) * 255).astype(np.uint8)
    return scaled
