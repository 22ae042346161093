"""Per-sample gradients of chosen layers, batch by batch: one forward pass, and a backward pass for activations alone.

The gradient of each layer follows from its input and from the error at its output. In evaluation mode no sample depends
on another, so the gradient of the summed loss for a sample's output is that of its own loss.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import TracebackType
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm, pad, unfold

from worker.influence.gradients import Dense, Gradient, Lookup, Outer, materialise
from worker.influence.projection import Projection
from worker.influence.table_layer_gradients import TABLE_GRADIENTS
from worker.libraries.table_layers import LinearBatchEnsemble
from worker.machine.devices import CPU, device_of, to_device

_PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, LinearBatchEnsemble)
_LARGEST_TABLE = 2**16  # numbers of an embedding table, up to which its gradient is formed


class UnsupportedLayer(Exception):
    """A layer whose gradients cannot be computed. It is named and never silently left out."""

    def __init__(self, name: str, reason: str) -> None:
        supported = ", ".join(kind.__name__.lstrip("_") for kind in _SUPPORTED)
        super().__init__(f"layer {name or '(the model itself)'}: {reason}; supported are {supported}")
        self.name = name


@dataclass(frozen=True)
class _LayerCall:
    """What went into a layer and came out of it in one forward pass."""

    entered: Tensor
    left: Tensor


def layer_names(
    model: nn.Module, head: nn.Linear, layers: Literal["last", "last-2", "all"] | Sequence[str]
) -> list[str]:
    """Names of the chosen modules, in the model's order: all with trained parameters, or the last one or two products.

    Raises UnsupportedLayer for a name that does not exist, for a layer whose gradients cannot be computed, and for two layers
    that share a parameter.
    """
    modules = dict(model.named_modules())
    named = {name: module for name, module in modules.items() if _has_trained_parameters(module)}
    ordered = list(named)
    if layers == "all":
        chosen = ordered
    elif layers in ("last", "last-2"):
        products = [name for name, module in named.items() if isinstance(module, _PRODUCTS)]
        last = next(name for name, module in named.items() if module is head)
        before = [name for name in products if name != last]
        chosen = [*before[-1:], last] if layers == "last-2" else [last]
    else:
        missing = [name for name in layers if name not in modules]
        if missing:
            raise UnsupportedLayer(missing[0], f"no such module; there are {', '.join(ordered)}")
        chosen = [name for name in modules if name in layers]
    _check_all({name: modules[name] for name in chosen})
    return chosen


class LayerGradients:
    """Computes per-sample gradients of the named layers, given on `device`; a context, in which the model computes none for its weights.

    Raises UnsupportedLayer, also for a layer that one forward pass uses twice and for layers that share a parameter: the
    parts of its gradient would have to be added before products are taken.
    """

    def __init__(
        self, model: nn.Module, names: Sequence[str], projection: Projection | None = None, device: torch.device = CPU
    ) -> None:
        self._model, self._names, self._projection, self._device = model, list(names), projection, device
        modules = dict(model.named_modules())
        self._layers = {name: modules[name] for name in names}
        _check_all(self._layers)
        self._calls: dict[str, _LayerCall] = {}
        self._hooks: list[Any] = []
        self._trained: list[tuple[nn.Parameter, bool]] = []

    def __enter__(self) -> "LayerGradients":
        self._hooks = [layer.register_forward_hook(self._hook(name)) for name, layer in self._layers.items()]
        self._trained = [(parameter, parameter.requires_grad) for parameter in self._model.parameters()]
        for parameter, _ in self._trained:
            parameter.requires_grad_(False)
        self._model.eval()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        for parameter, wanted in self._trained:
            parameter.requires_grad_(wanted)
        self._calls.clear()

    def __call__(
        self, inputs: Sequence[Tensor], labels: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b c"], list[Gradient]]:
        """Run a batch; logits, and one entry of gradients per layer, in the order of the names."""
        ran = self.forward(inputs)
        return ran.logits.detach().to(CPU), ran.gradients(labels)

    def forward(self, inputs: Sequence[Tensor]) -> "ForwardPass":
        """Run a batch, of which gradients are wanted for several labels."""
        self._calls.clear()
        with torch.enable_grad():
            logits = self._model(*to_device(inputs, device_of(self._model)))
        calls = {name: self._call_of(name) for name in self._names}
        return ForwardPass(logits, self._layers, calls, self._projection, self._device)

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(_layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if name in self._calls:
                raise UnsupportedLayer(name, "used more than once in a forward pass")
            # No weight requires a gradient here, so the first layer's output would not either.
            left = output if output.requires_grad else output.requires_grad_()
            self._calls[name] = _LayerCall(arguments[0], left)
            # Later layers may work in place, which must not change what is stored.
            return left.clone()

        return hook

    def _call_of(self, name: str) -> _LayerCall:
        if name not in self._calls:
            raise UnsupportedLayer(name, "not used in the forward pass")
        return self._calls[name]


@dataclass(frozen=True)
class ForwardPass:
    """A batch that the model was run on; holds until the model's parameters change. `logits` are on the model's device, gradients on `device`."""

    logits: Float[Tensor, "b c"]
    layers: Mapping[str, nn.Module]
    calls: Mapping[str, _LayerCall]
    projection: Projection | None
    device: torch.device = CPU

    def gradients(self, labels: Int[Tensor, " b"]) -> list[Gradient]:
        """One entry per layer, as if the samples had these labels."""
        with torch.enable_grad():
            loss = cross_entropy(self.logits, labels.to(self.logits.device), reduction="sum")
            back = torch.autograd.grad(loss, [call.left for call in self.calls.values()], retain_graph=True)
        return [
            self._finish(name, _GRADIENTS[_kind_of(self.layers[name])](self.layers[name], call.entered.detach(), error))
            for (name, call), error in zip(self.calls.items(), back, strict=True)
        ]

    def _finish(self, name: str, gradient: Gradient) -> Gradient:
        parts: dict[str, Any] = {
            part.name: _moved(getattr(gradient, part.name), self.device) for part in fields(gradient)
        }
        moved = replace(gradient, **parts)
        return moved if self.projection is None else self.projection.project(name, moved)


def _moved(part: Tensor | int, device: torch.device) -> Tensor | int:
    return part.to(device) if isinstance(part, Tensor) else part


def _has_trained_parameters(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters(recurse=False))


def _kind_of(layer: nn.Module) -> type[nn.Module]:
    return next(kind for kind in _SUPPORTED if isinstance(layer, kind))


def _check_all(layers: Mapping[str, nn.Module]) -> None:
    owners: dict[nn.Parameter, str] = {}
    for name, layer in layers.items():
        _check(name, layer)
        for key, parameter in layer.named_parameters(recurse=False):
            other = owners.setdefault(parameter, name)
            if other != name:
                raise UnsupportedLayer(
                    name, f"its {key} is a parameter of layer {other} too; leave one of the two out of influence.layers"
                )


def _check(name: str, layer: nn.Module) -> None:
    if not isinstance(layer, tuple(_SUPPORTED)):
        raise UnsupportedLayer(name, f"a {type(layer).__name__} is not supported")
    frozen = [key for key, parameter in layer.named_parameters(recurse=False) if not parameter.requires_grad]
    if frozen or not _has_trained_parameters(layer):
        raise UnsupportedLayer(name, f"not all of it is trained: {', '.join(frozen) or 'it has no parameters'}")
    if isinstance(layer, nn.Conv1d | nn.Conv2d) and (layer.padding_mode != "zeros" or isinstance(layer.padding, str)):
        raise UnsupportedLayer(name, "a convolution with padding other than a number of zeros")
    if isinstance(layer, nn.Embedding) and layer.max_norm is not None:
        raise UnsupportedLayer(name, "an embedding that is renormalised when it is read")


def _with_one(entered: Tensor, *, bias: bool) -> Tensor:
    return torch.cat([entered, entered.new_ones(*entered.shape[:-1], 1)], -1) if bias else entered


def _linear(layer: nn.Module, entered: Tensor, error: Tensor) -> Gradient:
    assert isinstance(layer, nn.Linear)
    inputs = _with_one(entered, bias=layer.bias is not None)
    if entered.dim() == 2:
        return Outer(inputs, error)
    return materialise(inputs.flatten(1, -2), error.flatten(1, -2))


def _convolution(layer: nn.Module, entered: Tensor, error: Tensor) -> Gradient:
    # A convolution is a Linear layer on the patches that its kernel sees, one at each place of the output.
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    flat = isinstance(layer, nn.Conv1d)
    kernel, stride, dilation = (tuple(map(int, size)) for size in (layer.kernel_size, layer.stride, layer.dilation))
    border = tuple(int(size) for size in layer.padding)
    if flat:
        entered, error = entered[:, :, None], error[:, :, None]
        kernel, stride, dilation, border = ((1, *kernel), (1, *stride), (1, *dilation), (0, *border))
    entered = pad(entered, (border[1], border[1], border[0], border[0]))
    patches = unfold(entered, kernel, dilation=dilation, stride=stride).transpose(1, 2)
    back = error.flatten(2).transpose(1, 2)
    groups, bias = layer.groups, layer.bias is not None
    if groups == 1:
        return materialise(_with_one(patches, bias=bias), back)
    # Each group is a layer of its own; together they are formed, being small.
    parts = zip(patches.chunk(groups, 2), back.chunk(groups, 2), strict=True)
    formed = [torch.bmm(own.transpose(1, 2), _with_one(seen, bias=bias)).flatten(1) for seen, own in parts]
    return Dense(torch.cat(formed, 1))


def _embedding(layer: nn.Module, entered: Tensor, error: Tensor) -> Gradient:
    assert isinstance(layer, nn.Embedding)
    ids, back = entered.flatten(1), error.flatten(1, -2)
    if layer.padding_idx is not None:
        back = back * (ids != layer.padding_idx)[..., None]
    rows, width = layer.num_embeddings, layer.embedding_dim
    if rows * width > _LARGEST_TABLE:
        return Lookup(ids, back, rows)
    table = back.new_zeros(len(ids) * rows, width)
    table.index_add_(0, (torch.arange(len(ids), device=ids.device)[:, None] * rows + ids).flatten(), back.flatten(0, 1))
    return Dense(table.view(len(ids), rows * width))


def _affine(normal: Tensor, error: Tensor, channels: int, *, bias: bool) -> Gradient:
    """Gradient of a scale and a shift of each channel: sums over all other axes of tensors (n, channels, rest)."""
    weight = (normal * error).view(len(error), channels, -1).sum(2)
    shift = error.reshape(len(error), channels, -1).sum(2)
    return Dense(torch.cat([weight, shift], 1) if bias else weight)


def _layer_norm(layer: nn.Module, entered: Tensor, error: Tensor) -> Gradient:
    assert isinstance(layer, nn.LayerNorm)
    normal = layer_norm(entered, layer.normalized_shape, eps=layer.eps)
    channels = layer.weight.numel()
    products, shifts = ((x.reshape(len(x), -1, channels)).sum(1) for x in (normal * error, error))
    return Dense(torch.cat([products, shifts], 1) if layer.bias is not None else products)


def _group_norm(layer: nn.Module, entered: Tensor, error: Tensor) -> Gradient:
    assert isinstance(layer, nn.GroupNorm)
    normal = nn.functional.group_norm(entered, layer.num_groups, eps=layer.eps)
    return _affine(normal.contiguous(), error.contiguous(), layer.num_channels, bias=True)


def _batch_norm(layer: nn.Module, entered: Tensor, error: Tensor) -> Gradient:
    assert isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
    normal = nn.functional.batch_norm(entered, layer.running_mean, layer.running_var, eps=layer.eps)
    return _affine(normal.contiguous(), error.contiguous(), layer.num_features, bias=True)


_GRADIENTS: dict[type[nn.Module], Callable[[nn.Module, Tensor, Tensor], Gradient]] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.Embedding: _embedding,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    **TABLE_GRADIENTS,
}
_SUPPORTED = tuple(_GRADIENTS)
