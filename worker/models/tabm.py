"""TabM for tables (arXiv:2410.24210): many networks that share most of their weights. Takes the input of a table's model.

In training every member answers for itself, (n, members, classes), and learns from a loss of its own, as in the paper.
Otherwise the answer is the mean of the members' logits. The paper gives each member a head of its own; here one head
serves all. A linear layer and a mean can change places, so that the ensemble's logits are exactly one Linear layer of
the mean of what the members know, `width` numbers a sample: influence of the last layer is exact for the ensemble's
loss, and costs what an MLP of that width costs. Heads apart would make it `members` times as wide.
"""

from jaxtyping import Float, Int
from tabm import EnsembleView, MLPBackboneBatchEnsemble, MLPBackboneMiniEnsemble
from torch import Tensor, nn

from service.domain.params import TabMParams
from worker.data.shape import InputShape
from worker.models.numbers import Numbers
from worker.models.tabular import OneHot


class TabM(nn.Module):
    """Members that differ in scales and biases alone."""

    def __init__(self, params: TabMParams, shape: InputShape, classes: int) -> None:
        super().__init__()
        self.encoder = OneHot(shape, Numbers.of(params, shape))
        self.members = EnsembleView(k=params.members)
        self.backbone = _backbone(params, self.encoder, shape)
        self.head = nn.Linear(params.width, classes)

    def forward(self, numeric: Float[Tensor, "n k"], categorical: Int[Tensor, "n c"]) -> Float[Tensor, "n *m o"]:
        """Logits: in training of every member, otherwise of them all."""
        known = self.backbone(self.members(self.encoder(numeric, categorical)))
        logits: Tensor = self.head(known if self.training else known.mean(1))
        return logits


def _backbone(params: TabMParams, encoder: OneHot, shape: InputShape) -> nn.Module:
    # One random number a column and member, not one a number: what one column became stays together.
    columns = [*encoder.numbers.widths, *shape.cardinalities]
    start = "random-signs" if encoder.numbers.embedding is None else "normal"
    options = {
        "k": params.members,
        "d_in": encoder.width,
        "n_blocks": params.blocks,
        "d_block": params.width,
        "dropout": params.dropout,
    }
    if params.sharing == "mini":
        mini: nn.Module = MLPBackboneMiniEnsemble(
            affine_bias=False, affine_scaling_init=start, affine_scaling_init_chunks=columns, **options
        )
        return mini
    batch: nn.Module = MLPBackboneBatchEnsemble(
        tabm_init=True, scaling_init=start, start_scaling_init_chunks=columns, **options
    )
    return batch


def tabm(params: TabMParams, shape: InputShape, classes: int) -> nn.Module:
    """An ensemble at the price of one network."""
    return TabM(params, shape, classes)
