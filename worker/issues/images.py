"""Images that are dark, bright, blank or blurred, or of an odd size, where that is an exception in their dataset.

Images are measured in grey and in at most 64 by 64 pixels, whatever their size: what is lost there hardly reaches a model. Brightness is judged by quantiles, so that
a bright sign at night is not dark. Sharpness is the share of an image's variance that is gone when it is halved and doubled, compared with the other images of
the dataset: a plain background or a low contrast makes no image blurred.
"""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from jaxtyping import UInt8
from PIL import Image, ImageChops

from worker.data.canonical import Canonical
from worker.data.pixels import upright
from worker.issues.data_issue import DataIssue
from worker.issues.inputs import Rows, TrainingSamples
from worker.issues.lengths import far_out

SIDE = 16  # of thumbnails
_TOGETHER = 64  # images that one thread measures before another's turn
_MEASURED = 64  # pixels a side that are measured
_DARK, _BRIGHT, _BLANK = 50, 205, 2.5  # grey levels: of the 99 % quantile, of the 1 % quantile, of the deviation
_EXCEPTION = 0.1  # share of the images, up to which dark, bright and blank ones are exceptions
_FEWEST = 50  # images that tell what is usual
_LEVELS = np.arange(256.0)
_TIMES = {"area": 4.0, "aspect": 2.0, "sharpness": 5.0}


@dataclass(frozen=True)
class ImageMeasures:
    """Of n images: thumbnails in grey, quantiles and deviation of the grey levels, sharpness, width and height in pixels."""

    thumbnails: UInt8[np.ndarray, "n s s"]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    sharpness: npt.NDArray[np.float64]
    width: npt.NDArray[np.int64]
    height: npt.NDArray[np.int64]

    @property
    def blank(self) -> npt.NDArray[np.bool_]:
        """Whether each image has one grey level, but for noise."""
        return self.deviation < _BLANK


def measure_images(dataset: Canonical, rows: Rows, threads: int = 1) -> ImageMeasures:
    """Decode the images of `rows`, which ascend, on some threads. Raises OSError or ValueError for one that is damaged."""
    thumbnails = np.empty((len(rows), SIDE, SIDE), np.uint8)
    numbers = np.empty((len(rows), 6))

    def measure(start: int, encoded: pa.Array) -> None:
        for place, value in enumerate(encoded, start):
            thumbnails[place], numbers[place] = _measured(value.as_py(), dataset.white)

    done = 0
    # Pillow decodes without holding Python's lock, so threads share the work.
    with ThreadPoolExecutor(threads) as pool:
        for batch in dataset.batches(["image"], torch.from_numpy(rows)):
            images, starts = batch.column(0), range(0, len(batch), _TOGETHER)
            parts = (images.slice(start, _TOGETHER) for start in starts)
            list(pool.map(measure, (done + start for start in starts), parts))  # raises what a thread raised
            done += len(batch)
    low, high, deviation, sharpness, width, height = numbers.T
    return ImageMeasures(thumbnails, low, high, deviation, sharpness, width.astype(np.int64), height.astype(np.int64))


def _measured(encoded: bytes, white: float | None) -> tuple[npt.NDArray[np.uint8], tuple[float, ...]]:
    """The thumbnail of one image, and its numbers in the order of `ImageMeasures`."""
    with Image.open(io.BytesIO(encoded)) as opened:
        size = opened.size
    grey = upright(encoded, "L", white, _MEASURED)
    if size[0] < size[1] and grey.width > grey.height:
        size = size[::-1]
    shrunk = grey.resize((min(grey.width, _MEASURED), min(grey.height, _MEASURED)), Image.Resampling.BOX)
    return np.asarray(shrunk.resize((SIDE, SIDE), Image.Resampling.BOX)), (
        *_grey_numbers(shrunk),
        float(size[0]),
        float(size[1]),
    )


def image_faults(samples: TrainingSamples, measures: ImageMeasures, examined: Rows) -> DataIssue:
    """Images with a fault; `measures` are those of the samples at the places `examined`. Score: their share, 0 to 1."""
    flags = _flags(measures)
    reported = {name: int(flag.sum()) for name, flag in flags.items() if flag.any()}
    detail = "No image is dark, bright, blank, blurred or of an odd size."
    if reported:
        counts = (f"{name} {count:,}" for name, count in sorted(reported.items(), key=lambda one: -one[1]))
        detail = f"Images by what is the matter with them: {', '.join(counts)}."
    flagged = np.flatnonzero(np.any(list(flags.values()), axis=0)).tolist()
    listed = [
        samples.sample(int(examined[place]), detail=", ".join(name for name in reported if flags[name][place]))
        for place in flagged
    ]
    share = len(flagged) / max(len(examined), 1)
    return DataIssue("images", share, len(flagged), detail, listed, found=bool(flagged))


def _grey_numbers(image: Image.Image) -> tuple[float, float, float, float]:
    """Low and high quantile, deviation, and sharpness, which is 1 for an image of one grey level."""
    counts = np.array(image.histogram())
    count, below = counts.sum(), counts.cumsum()
    low, high = np.searchsorted(below, [0.01 * count, 0.99 * count])
    mean = counts @ _LEVELS / count
    variance = float(counts @ np.square(_LEVELS - mean) / count)
    half = image.resize((max(image.width // 2, 1), max(image.height // 2, 1)), Image.Resampling.BOX)
    lost = np.asarray(ImageChops.difference(image, half.resize(image.size, Image.Resampling.BILINEAR)), np.float32)
    return float(low), float(high), variance**0.5, float(np.square(lost).mean()) / variance if variance else 1.0


def _flags(measures: ImageMeasures) -> dict[str, npt.NDArray[np.bool_]]:
    flags = {
        "blank": measures.blank,
        "dark": ~measures.blank & (measures.high < _DARK),
        "bright": ~measures.blank & (measures.low > _BRIGHT),
    }
    flags = {name: flag if flag.mean() <= _EXCEPTION else np.zeros_like(flag) for name, flag in flags.items()}
    if len(measures.low) >= _FEWEST:
        usual = ~measures.blank
        sharp = np.where(usual, measures.sharpness, np.median(measures.sharpness[usual]) if usual.any() else 1.0)
        flags["blurred"] = far_out(sharp, usual, _TIMES["sharpness"])[0]
        every = np.ones(len(usual), bool)
        flags["odd size"] = np.any(far_out(measures.width * measures.height, every, _TIMES["area"]), axis=0)
        flags["odd shape"] = np.any(far_out(measures.width / measures.height, every, _TIMES["aspect"]), axis=0)
    return flags
