"""What one encoded sample looks like: all that a network must know of the data to be built."""

from dataclasses import dataclass

from service.domain.dataset import Modality


@dataclass(frozen=True)
class InputShape:
    """What a network must know of its input.

    Tabular: `numeric` columns, for each the edges of the bins between its quantiles, and one cardinality a categorical
    column; image: channels, height, width and the statistics of its pixels in [0, 255]; embedding: its width; text: token
    numbers and tokens of a sample.
    """

    modality: Modality
    numeric: int = 0
    cardinalities: tuple[int, ...] = ()
    image: tuple[int, int, int] | None = None
    pixel_mean: tuple[float, ...] = ()
    pixel_deviation: tuple[float, ...] = ()
    embedding: int | None = None
    text: tuple[int, int] | None = None
    bins: tuple[tuple[float, ...], ...] = ()
