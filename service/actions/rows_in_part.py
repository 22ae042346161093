"""Which samples lie in one of the two parts of their label."""

from typing import Any

import numpy as np
import numpy.typing as npt

from service.domain.errors import invalid
from service.domain.label_part import LabelPart, part_number
from service.store.ranking_columns import RankingColumns

Array = npt.NDArray[Any]


def rows_in_part(columns: RankingColumns, part: LabelPart) -> Array:
    """Which rows of the columns lie in that part of their label: bool n. Raises Invalid where the job kept no parts."""
    if columns.part is None:
        detail = "this job knows no parts of labels. Run it again, on data with features"
        raise invalid(["part"], detail)
    return np.asarray(columns.part == part_number(part))
