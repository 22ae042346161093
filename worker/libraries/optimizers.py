"""torch's optimizers, without its compiler, which no job uses: the import takes a second of processor time.

torch wraps methods of its optimizers so that its compiler treats them apart, and the wrappers import it. Here the methods
themselves are called, which is what the wrappers do where nothing is compiled. A method that a version of torch wraps otherwise
stays as it is, and imports the compiler.
"""

from inspect import unwrap

import torch
from torch.optim import Optimizer


class _Eager(Optimizer):
    """The wrapped methods of all optimizers."""

    add_param_group = unwrap(Optimizer.add_param_group)
    load_state_dict = unwrap(Optimizer.load_state_dict)
    state_dict = unwrap(Optimizer.state_dict)
    zero_grad = unwrap(Optimizer.zero_grad)


class Sgd(_Eager, torch.optim.SGD):
    """torch's SGD."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no job has a closure
        """Update the parameters by their gradients."""
        unwrap(torch.optim.SGD.step)(self, closure)


class AdamW(_Eager, torch.optim.AdamW):
    """torch's AdamW."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no job has a closure
        """Update the parameters by their gradients."""
        unwrap(torch.optim.AdamW.step)(self, closure)
