"""Deep greyscale, of more than 8 bits a pixel, in 8 bits: the same picture for the model and for people."""

from typing import Any

import numpy as np
import numpy.typing as npt


def in_bytes(deep: npt.NDArray[Any], *, whole: bool, white: float | None) -> npt.NDArray[np.uint8]:
    """Scale so that `white`, that of the dataset, becomes 255: its images stay as bright to each other as they are.

    Where nobody knows it, whole numbers have 16 bits, and of fractions the image's largest is white. What is no number, or
    below 0, is black.
    """
    values = np.where(np.isfinite(deep), deep, 0).astype(np.float64)
    if white is None:
        white = 65535.0 if whole else float(values.max(initial=0))
    scaled: npt.NDArray[np.uint8] = np.round(np.clip(values / max(white, 1e-9), 0, 1) * 255).astype(np.uint8)
    return scaled
