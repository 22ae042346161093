"""TabM for tables (arXiv:2410.24210): an ensemble that shares most of its weights. Takes `(numeric [n, k], categorical [n, c])`.

In training the output is that of every member, (n, members, classes), and each has a loss of its own, as in the paper. In
evaluation it is the mean of the members' logits. The paper gives each member a head of its own; here all share one. A
linear layer and a mean commute, so the ensemble's logits are one Linear layer of the mean of the members' hidden rows,
`width` numbers per sample: influence of the last layer is exact for the ensemble's loss and costs what an MLP of that
width costs. Separate heads would make it `members` times as wide.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from service.domain.models.tabular import TabMParams
from worker.data.shape import InputShape
from worker.libraries.table_layers import EnsembleView, MLPBackboneBatchEnsemble, MLPBackboneMiniEnsemble
from worker.models.numeric_columns import NumericColumns
from worker.models.tabular import OneHot


class TabM(nn.Module):
    """An ensemble whose members differ only in scales and biases."""

    def __init__(self, params: TabMParams, shape: InputShape, classes: int) -> None:
        super().__init__()
        self.encoder = OneHot(shape, NumericColumns.from_params(params, shape))
        self.members = EnsembleView(k=params.members)
        self.backbone = _backbone(params, self.encoder, shape)
        self.head = nn.Linear(params.width, classes)

    def forward(self, numeric: Float[Tensor, "n k"], categorical: Int[Tensor, "n c"]) -> Float[Tensor, "n *m o"]:
        """Logits: of every member in training, their mean in evaluation."""
        known = self.backbone(self.members(self.encoder(numeric, categorical)))
        logits: Tensor = self.head(known if self.training else known.mean(1))
        return logits


def _backbone(params: TabMParams, encoder: OneHot, shape: InputShape) -> nn.Module:
    # One random scale per column and member: the numbers that one column became are scaled together.
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
    """An ensemble at about the cost of one network."""
    return TabM(params, shape, classes)


BUILDERS = {"tabm": tabm}
