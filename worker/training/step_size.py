"""How much a step of training computes, which decides whether it is worth more than one thread."""

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_COUNTED = (*_CONVOLUTIONS, nn.Linear)
_CHEAP = (nn.GroupNorm, nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def has_convolutions(model: nn.Module) -> bool:
    """Whether a network has a convolution."""
    return any(isinstance(module, _CONVOLUTIONS) for module in model.modules())


def products_of_a_sample(model: nn.Module, sample: tuple[Tensor, ...]) -> int | None:
    """Numbers that the forward pass of one sample [1, ...] multiplies; None where layers with other weights compute too.

    The network stays as it is. torch's own counter imports its compiler, which takes a second and more.
    """
    with_weights = [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))]
    if not all(isinstance(module, (*_COUNTED, *_CHEAP)) for module in with_weights):
        return None
    products = 0

    def count(module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal products
        assert isinstance(module, _COUNTED)  # of which it is a hook
        products += module.weight.numel() * output.numel() // module.weight.shape[0]

    hooks = [module.register_forward_hook(count) for module in with_weights if isinstance(module, _COUNTED)]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(*sample)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return products
