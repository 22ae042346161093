"""Parameters that a network uses in two places: the gradient of one layer's call is then not theirs.

The gradient of such a parameter is the sum over its uses. Products of gradients are taken layer by layer, so that a sum
that is squared would become a sum of squares, and samples change their order.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from worker.influence.layer_gradients import UnsupportedLayer
from worker.machine.devices import device_of, to_device

_ROWS = 2  # some networks do not take a single sample


def layers_used_elsewhere(model: nn.Module, names: Sequence[str], inputs: Sequence[Tensor]) -> list[str]:
    """Those of the named layers whose parameters the network also uses outside of these layers' calls.

    Compares how often a forward pass of two samples uses each parameter, as the graph of automatic differentiation has
    it, with how often the layer alone does. Raises UnsupportedLayer for a layer that the pass does not use once.
    """
    modules = dict(model.named_modules())
    calls: dict[str, list[tuple[Any, Any]]] = {name: [] for name in names}
    hooks = [modules[name].register_forward_hook(_noted(calls[name]), with_kwargs=True) for name in names]
    was_training = model.training
    model.eval()
    try:
        with torch.enable_grad():
            whole = _uses(model(*to_device([part[:_ROWS] for part in inputs], device_of(model))))
            for hook in hooks:
                hook.remove()
            own = {name: _uses(_alone(name, modules[name], calls[name])) for name in names}
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return [
        name
        for name in names
        if any(whole[parameter] > own[name][parameter] for parameter in modules[name].parameters(recurse=False))
    ]


def _noted(calls: list[tuple[Any, Any]]) -> Callable[..., None]:
    def hook(_layer: nn.Module, arguments: Any, named: Any, _output: Any) -> None:
        calls.append((arguments, named))

    return hook


def _alone(name: str, layer: nn.Module, calls: list[tuple[Any, Any]]) -> Tensor:
    if len(calls) != 1:
        raise UnsupportedLayer(
            name, "used more than once in a forward pass" if calls else "not used in the forward pass"
        )
    arguments, named = calls[0]
    output: Tensor = layer(*map(_detached, arguments), **{key: _detached(value) for key, value in named.items()})
    return output


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _uses(output: Tensor) -> Counter[Tensor]:
    """How many operations of the graph behind `output` read each parameter."""
    found: Counter[Tensor] = Counter()
    seen, left = set(), [output.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for before, _ in node.next_functions:
            # The node of a leaf has the tensor that its gradient is added to.
            parameter = getattr(before, "variable", None)
            if parameter is not None:
                found[parameter] += 1
            left.append(before)
    return found
