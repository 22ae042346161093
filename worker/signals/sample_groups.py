"""Which samples belong together (`DatasetSpec.group`): a patient, a session, a document.

Samples of one group are more alike than others, and an error in one is often in all of them. So what is measured of a
sample by means of other samples leaves its whole group out: they do not vouch for each other.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class SampleGroups:
    """Numbers of the groups of n training samples and m reference samples, 0 or more; equal numbers mean one group.

    A sample of no group has a number of its own.
    """

    train: Int[Tensor, " n"]
    reference: Int[Tensor, " m"]


def together(rows: Int[Tensor, " b"], columns: Int[Tensor, " m"]) -> Bool[Tensor, "b m"]:
    """Whether a row and a column are of one group, by their groups' numbers."""
    found: Bool[Tensor, "b m"] = rows[:, None] == columns[None, :]
    return found
