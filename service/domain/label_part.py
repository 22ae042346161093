"""The two parts of a label, as a job splits its samples by likeness."""

from typing import Literal, get_args

# tighter: its samples are more like one another than those of the other part.
LabelPart = Literal["tighter", "looser"]
LABEL_PARTS: tuple[LabelPart, ...] = get_args(LabelPart)


def part_number(part: LabelPart) -> int:
    """The number of a part in the column `part` of a ranking, where 0 is a label without parts."""
    return 1 + LABEL_PARTS.index(part)
