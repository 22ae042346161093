"""Shape and statistics of an encoded sample, from which a network is built."""

from dataclasses import dataclass

from service.domain.dataset import Modality


@dataclass(frozen=True)
class InputShape:
    """Shape and statistics of one encoded sample; fields of other modalities are empty.

    Tabular: `numeric` columns, for each the edges of the bins between its quantiles, and one cardinality a categorical
    column, and as `indicators` the numeric columns that say whether the one before is missing; image: channels, height, width and the statistics of its pixels in [0, 255]; embedding: its width; text: token
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
    indicators: tuple[int, ...] = ()
