"""Networks for tables. Each takes `(numeric [n, k], categorical [n, c])`."""

from typing import Any

import torch
from jaxtyping import Float, Int
from rtdl_revisiting_models import MLP, FTTransformer, ResNet
from torch import Tensor, nn

from service.domain.models.entry import NoParams
from service.domain.models.tabular import FTTransformerParams, TabularMLPParams, TabularResNetParams
from worker.data.shape import InputShape
from worker.models.numeric_columns import NumericColumns


class OneHot(nn.Module):
    """Numeric columns, embedded or not, and one-hot categories as one flat row per sample, `width` wide."""

    offsets: Tensor

    def __init__(self, shape: InputShape, numbers: NumericColumns | None = None) -> None:
        super().__init__()
        self.numbers = NumericColumns("none", 1, shape) if numbers is None else numbers
        sizes = torch.tensor([0, *shape.cardinalities])
        self.register_buffer("offsets", sizes.cumsum(0)[:-1], persistent=False)
        self.total = int(sizes.sum())
        self.width = self.numbers.width + self.total

    def forward(self, numeric: Float[Tensor, "n k"], categorical: Int[Tensor, "n c"]) -> Float[Tensor, "n w"]:
        """One row per sample."""
        numbers: Tensor = self.numbers(numeric)
        if not self.total:
            return numbers
        hot = numbers.new_zeros(len(numbers), self.total).scatter_(1, categorical + self.offsets, 1.0)
        return torch.cat([numbers, hot], 1)


class TableNetwork(nn.Module):
    """A network on the flat row of OneHot; `head` is its last layer."""

    def __init__(self, encoder: OneHot, network: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.encoder, self.network = encoder, network
        # Kept in a tuple so that it is not registered, saved and trained a second time.
        self._head = (head,)

    @property
    def head(self) -> nn.Linear:
        """The layer that yields the logits."""
        return self._head[0]

    def forward(self, numeric: Float[Tensor, "n k"], categorical: Int[Tensor, "n c"]) -> Float[Tensor, "n o"]:
        """Logits."""
        logits: Tensor = self.network(self.encoder(numeric, categorical))
        return logits


def logistic_regression(_params: NoParams, shape: InputShape, classes: int) -> nn.Module:
    """One linear layer."""
    encoder = OneHot(shape)
    head = nn.Linear(encoder.width, classes)
    return TableNetwork(encoder, head, head)


def mlp(params: TabularMLPParams, shape: InputShape, classes: int) -> nn.Module:
    """Hidden layers with ReLU."""
    encoder = OneHot(shape, NumericColumns.from_params(params, shape))
    network = MLP(
        d_in=encoder.width, d_out=classes, n_blocks=params.blocks, d_block=params.width, dropout=params.dropout
    )
    return TableNetwork(encoder, network, network.output)


def tabular_resnet(params: TabularResNetParams, shape: InputShape, classes: int) -> nn.Module:
    """Residual blocks with batch normalisation."""
    encoder = OneHot(shape, NumericColumns.from_params(params, shape))
    network = ResNet(
        d_in=encoder.width,
        d_out=classes,
        n_blocks=params.blocks,
        d_block=params.width,
        d_hidden_multiplier=params.hidden_multiplier,
        dropout1=params.dropout,
        dropout2=0.0,
    )
    return TableNetwork(encoder, network, network.output.linear)


class TableTransformer(nn.Module):
    """An FT-Transformer, with one token per column. The library expects None where there is no column of a kind."""

    def __init__(self, params: FTTransformerParams, shape: InputShape, classes: int) -> None:
        super().__init__()
        options: dict[str, Any] = FTTransformer.get_default_kwargs(n_blocks=min(params.blocks, 6))
        options.pop("_is_default")
        options.update(n_blocks=params.blocks, d_block=params.width, attention_dropout=params.dropout)
        options.update(ffn_dropout=params.dropout)
        self.network = FTTransformer(
            n_cont_features=shape.numeric, cat_cardinalities=list(shape.cardinalities), d_out=classes, **options
        )

    @property
    def head(self) -> nn.Linear:
        """The layer that yields the logits."""
        head: nn.Linear = self.network.backbone.output.linear
        return head

    def forward(self, numeric: Float[Tensor, "n k"], categorical: Int[Tensor, "n c"]) -> Float[Tensor, "n o"]:
        """Logits."""
        logits: Tensor = self.network(
            numeric if numeric.shape[1] else None, categorical if categorical.shape[1] else None
        )
        return logits


def ft_transformer(params: FTTransformerParams, shape: InputShape, classes: int) -> nn.Module:
    """Attention over columns."""
    return TableTransformer(params, shape, classes)


BUILDERS = {
    "logistic_regression": logistic_regression,
    "mlp": mlp,
    "tabular_resnet": tabular_resnet,
    "ft_transformer": ft_transformer,
}
