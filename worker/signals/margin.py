"""The margin of a label: by how much its score exceeds that of every other class."""

from jaxtyping import Float, Int
from torch import Tensor, inf


def margin(scores: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """`z_y - max_{c != y} z_c` of each sample, in the unit of the scores; negative = another class scores higher."""
    own = labels[:, None]
    return scores.gather(1, own).squeeze(1) - scores.scatter(1, own, -inf).amax(1)
