"""Linear networks and MLPs whose gradients are written by hand: a step of them costs its matrix products and little else.

Of a small network autograd, one call an operation and an update of every parameter by itself take as long as the arithmetic,
or longer. Here all parameters are views of one buffer, so that an update is one call, and what a batch needs is allocated once.
The gradients are those of autograd up to the rounding of float32 (tests/equivalence/test_direct_training.py).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from rtdl_revisiting_models import MLP
from torch import Tensor, nn

from worker.libraries.table_layers import PiecewiseLinearEmbeddings
from worker.machine.devices import CPU
from worker.models.tabular import OneHot, TableNetwork


@dataclass(frozen=True)
class DirectNetwork:
    """A network of linear layers with ReLU between them, on the rows of `encoder` or on vectors as they are."""

    encoder: OneHot | None
    layers: tuple[nn.Linear, ...]

    @classmethod
    def of(cls, model: nn.Module) -> "DirectNetwork | None":
        """The network, where this module has a form whose gradients are written here; on a CPU, in float32, all of it trained."""
        fits = all(one.requires_grad and one.device == CPU and one.dtype == torch.float32 for one in model.parameters())
        encoder, network = (model.encoder, model.network) if type(model) is TableNetwork else (None, model)
        layers = _layers(network)
        if not fits or not layers or (encoder is not None and not _is_direct(encoder)):
            return None
        return cls(encoder, layers)

    @property
    def weights(self) -> int:
        """How many numbers its linear layers have."""
        return sum(layer.weight.numel() for layer in self.layers)

    @property
    def embedding(self) -> PiecewiseLinearEmbeddings | None:
        """What numeric columns pass first, if anything."""
        return None if self.encoder is None else self.encoder.numbers.embedding

    def fits(self, inputs: tuple[Tensor, ...]) -> bool:
        """Whether samples are what the network takes without conversion."""
        kinds = [torch.float32] if self.encoder is None else [torch.float32, torch.int64]
        return [part.dtype for part in inputs] == kinds and all(part.dim() == 2 for part in inputs)


def _layers(network: Any) -> tuple[nn.Linear, ...]:
    """All layers in order; none where the network is another."""
    if type(network) is nn.Linear:
        layers = (network,)
    elif type(network) is MLP and all(block.dropout.p == 0 for block in network.blocks):
        layers = (*(block.linear for block in network.blocks), network.output)
    else:
        return ()
    return layers if all(type(one) is nn.Linear and one.bias is not None for one in layers) else ()


def _is_direct(encoder: OneHot) -> bool:
    embedding = encoder.numbers.embedding
    return embedding is None or (
        type(embedding) is PiecewiseLinearEmbeddings and embedding.linear0 is not None and embedding.activation is None
    )


class Parameters:
    """Numbers of the size and shape of all parameters of a network, in one buffer `flat` [p]: weights, gradients, momenta.

    `weights` [out, in] and `biases` [out] of each layer and `bends` [k, 2 + bins, width] of embedded columns are views of it.
    A bend's first two rows are the slope and the offset of a column, the others what is added in each of its bins.
    """

    def __init__(self, network: DirectNetwork) -> None:
        embedding = network.embedding
        shapes = [part.shape for layer in network.layers for part in (layer.weight, layer.bias)]
        if embedding is not None:
            columns, bins, width = embedding.linear.weight.shape
            shapes.append(torch.Size((columns, 2 + bins, width)))
        self.flat = torch.zeros(sum(map(math.prod, shapes)))
        flats = torch.split(self.flat, [*map(math.prod, shapes)])
        parts = [part.view(shape) for part, shape in zip(flats, shapes, strict=True)]
        count = 2 * len(network.layers)
        self.weights, self.biases = parts[0:count:2], parts[1:count:2]
        self.bends = None if embedding is None else parts[-1]
        own = [part for layer in network.layers for part in (layer.weight, layer.bias)]
        self._views: dict[Tensor, Tensor] = dict(zip(own, parts[:count], strict=True))
        if embedding is not None:
            slopes, offsets, bent = embedding.linear0.weight, embedding.linear0.bias, embedding.linear.weight
            self._views |= {slopes: parts[-1][:, 0], offsets: parts[-1][:, 1], bent: parts[-1][:, 2:]}

    def read(self, values: Mapping[Tensor, Tensor]) -> None:
        """Take over one tensor for each parameter of the network, or leave the buffer as it is where there is none."""
        for own, part in self._views.items():
            if own in values:
                part.copy_(values[own])

    def copies(self) -> dict[Tensor, Tensor]:
        """One tensor for each parameter of the network, of its shape."""
        return {own: part.clone(memory_format=torch.contiguous_format) for own, part in self._views.items()}


class Pass:
    """Forward and backward passes of batches of one size b, over weights that somebody else updates."""

    def __init__(self, network: DirectNetwork, values: Parameters, gradients: Parameters, size: int) -> None:
        self._values, self._gradients = values, gradients
        self._encoder = network.encoder
        self._columns = None if network.embedding is None else _Columns(network.embedding, values, gradients, size)
        width = network.layers[0].in_features
        self._known = [torch.zeros(size, width), *(torch.empty(size, one.out_features) for one in network.layers)]
        self._errors = [torch.empty_like(one) for one in self._known]
        self._turned = [one.t() for one in self._errors]
        self._across = [weight.t() for weight in values.weights]
        self._ones, self._minus = torch.ones(size), torch.full((size, 1), -1.0)

    def forward(self, inputs: tuple[Tensor, ...], rows: Int[Tensor, " b"]) -> Float[Tensor, "b c"]:
        """Logits of some rows of the samples; they stay until the next call."""
        if self._encoder is None:
            torch.index_select(inputs[0], 0, rows, out=self._known[0])
        else:
            self._encode(inputs, rows, self._encoder)
        last = len(self._across) - 1
        for place, (weight, bias) in enumerate(zip(self._across, self._values.biases, strict=True)):
            answers = torch.addmm(bias, self._known[place], weight, out=self._known[place + 1])
            if place < last:
                answers.relu_()
        return self._known[-1]

    def backward(
        self, target: Int[Tensor, "b 1"], scale: float | Float[Tensor, "b 1"], kept: float, losses: Float[Tensor, "b 1"]
    ) -> None:
        """Gradients of the batch of the last `forward`; `losses` are filled with the cross entropies, unweighted.

        What `gradients` hold becomes `kept` times what they held, and the gradient of the sum of the entropies times `scale`.
        """
        error = torch.log_softmax(self._known[-1], 1, out=self._errors[-1])
        torch.neg(torch.gather(error, 1, target, out=losses), out=losses)
        error.exp_().scatter_add_(1, target, self._minus).mul_(scale)
        for place in reversed(range(len(self._across))):
            known, turned, below = self._known[place], self._turned[place + 1], self._errors[place]
            self._gradients.weights[place].addmm_(turned, known, beta=kept)
            self._gradients.biases[place].addmv_(turned, self._ones, beta=kept)
            if place:
                torch.mm(error, self._values.weights[place], out=below)
                error = torch.ops.aten.threshold_backward.grad_input(below, known, 0, grad_input=below)
        if self._columns is not None:
            weight = self._values.weights[0][:, : self._columns.width]
            self._columns.backward(error @ weight, kept)

    def _encode(self, inputs: tuple[Tensor, ...], rows: Int[Tensor, " b"], encoder: OneHot) -> None:
        numeric, known, width = inputs[0].index_select(0, rows), self._known[0], encoder.numbers.width
        known[:, :width] = numeric if self._columns is None else self._columns.forward(numeric)
        if encoder.total:
            places = inputs[1].index_select(0, rows).add_(encoder.offsets)
            known[:, width:].zero_().scatter_(1, places, 1.0)


class _Columns:
    """Piecewise linear embeddings of k numeric columns. What is not learnt of them is computed as the library does."""

    def __init__(
        self, embedding: PiecewiseLinearEmbeddings, values: Parameters, gradients: Parameters, size: int
    ) -> None:
        if values.bends is None or gradients.bends is None:
            raise ValueError("parameters of another network")
        self._bends, self._gradients = values.bends, gradients.bends
        impl = embedding.impl
        columns, bins = impl.weight.shape
        self.width = columns * self._bends.shape[2]
        self._slope, self._offset = impl.weight.unsqueeze(1), impl.bias.unsqueeze(1)
        # Values beyond the outermost edges go on along the outermost bins.
        least, most = torch.zeros(columns, 1, bins), torch.ones(columns, 1, bins)
        least[:, :, 0], most[:, :, -1] = -math.inf, math.inf
        if impl.single_bin_mask is not None:
            least[impl.single_bin_mask, :, -1] = -math.inf
        self._least, self._most = least, most
        # A column's number, 1, and its share of each bin.
        self._known = torch.ones(columns, size, 2 + bins)

    def forward(self, numeric: Float[Tensor, "b k"]) -> Float[Tensor, "b w"]:
        """One flat row per sample."""
        numbers = numeric.t().unsqueeze(2)
        self._known[:, :, :1] = numbers
        shares = torch.addcmul(self._offset, self._slope, numbers)
        torch.clamp(shares, self._least, self._most, out=shares)
        self._known[:, :, 2:] = shares
        return torch.bmm(self._known, self._bends).transpose(0, 1).reshape(len(numeric), self.width)

    def backward(self, error: Float[Tensor, "b w"], kept: float) -> None:
        """Add to the gradients, of which `kept` stays."""
        columns, _, width = self._bends.shape
        by_column = error.view(len(error), columns, width).transpose(0, 1).contiguous()
        self._gradients.baddbmm_(self._known.transpose(1, 2), by_column, beta=kept)
