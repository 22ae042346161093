"""One update of a network by autograd, and the same update as one graph of a GPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from worker.machine.cuda_graphs import Graphs
from worker.machine.devices import device_of


class AutogradStep:
    """Updates of a network, one batch after the other.

    `total`, `right`: sum of the losses of the samples since `begin`, and how many were answered right.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, weights: Float[Tensor, " c"] | None, *, half: bool
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self._device, self._half = device_of(model), half
        self._weights = None if weights is None else weights.to(self._device)
        self.total = torch.zeros((), device=self._device)
        self.right = torch.zeros((), dtype=torch.int64, device=self._device)

    def begin(self) -> None:
        """Begin an epoch."""
        self.model.train()
        self.total.zero_()
        self.right.zero_()

    def __call__(self, batch: tuple[Tensor, ...]) -> None:
        """Update by a batch: inputs, then labels, on the network's device."""
        *seen, target = batch
        with torch.autocast(self._device.type, torch.bfloat16) if self._half else nullcontext():
            logits = self.model(*seen)
        loss = _loss(logits.float(), target, self._weights)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimizer.step()
        with torch.no_grad():
            self.total += loss.detach() * len(target)
            self.right += (_answer(logits).argmax(1) == target).sum()


class CapturedStep:
    """A step whose operations are recorded once, for batches of one size that are written into `buffers`.

    It goes on from whatever the network, the optimizer and the random state are. They stay where they are in memory.
    """

    def __init__(self, step: AutogradStep, buffers: tuple[Tensor, ...], graphs: Graphs) -> None:
        """Record the step; all is as it was then. Raises RuntimeError where it cannot be recorded."""
        self.buffers = buffers
        # A number would be recorded too; a tensor is read anew in each step.
        self._rate = torch.zeros((), device=step.total.device)
        self._step = step
        self._replay = self._recorded(graphs)

    def begin(self, rate: float) -> None:
        """Begin an epoch with this learning rate."""
        self._rate.fill_(rate)

    def __call__(self) -> None:
        """Update by the batch in the buffers."""
        self._replay()

    def _recorded(self, graphs: Graphs) -> Callable[[], None]:
        put_back = _memory_of(self._step)
        try:
            with self._options(lr=self._rate):
                graphs.warm_up(self._run)
                # Gradients are then allocated in the graph's own memory.
                self._step.optimizer.zero_grad(set_to_none=True)
                # torch wants it only while recording, and warns of it in any other step.
                with self._options(capturable=True):
                    replay = graphs.record(self._run)
            # The last batch of an epoch is smaller and runs by itself: there must be room for it beside the graph.
            self._run()
            return replay
        finally:
            put_back()

    @contextmanager
    def _options(self, **options: object) -> Iterator[None]:
        """Let the optimizer have other options in the block, of those that it has."""
        groups = self._step.optimizer.param_groups
        before = [{name: group[name] for name in options if name in group} for group in groups]
        try:
            for group in groups:
                group.update({name: value for name, value in options.items() if name in group})
            yield
        finally:
            for group, own in zip(groups, before, strict=True):
                group.update(own)

    def _run(self) -> None:
        self._step(self.buffers)


def _memory_of(step: AutogradStep) -> Callable[[], None]:
    """A function that puts back, in place, what a step changes: parameters, buffers, optimizer and sums."""
    changed = [*chain(step.model.parameters(), step.model.buffers()), step.total, step.right]
    changed += _state_of(step.optimizer)
    kept = [one.detach().clone() for one in changed]

    def put_back() -> None:
        known = {id(one) for one in changed}
        with torch.no_grad():
            for one, before in zip(changed, kept, strict=True):
                one.copy_(before)
            # What an optimizer makes in its first step begins with 0.
            for made in _state_of(step.optimizer):
                if id(made) not in known:
                    made.zero_()

    return put_back


def _state_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]


def _loss(
    logits: Float[Tensor, "b *m c"], target: Int[Tensor, " b"], weights: Float[Tensor, " k"] | None
) -> Float[Tensor, ""]:
    """The mean over a batch; where members of an ensemble answer each for itself, over all their answers."""
    if logits.dim() == 3:
        # Not by repeat_interleave, for which some versions of torch copy the number to the GPU and wait.
        target = target.unsqueeze(1).expand(-1, logits.shape[1]).flatten()
        logits = logits.flatten(0, 1)
    if weights is None:
        return cross_entropy(logits, target)
    # Not divided by a batch's own weights: a sample's pull must not depend on its company.
    return (weights[target] * cross_entropy(logits, target, reduction="none")).mean()


def _answer(logits: Float[Tensor, "b *m c"]) -> Float[Tensor, "b c"]:
    return logits if logits.dim() == 2 else logits.mean(1)
