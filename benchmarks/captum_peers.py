"""captum's TracIn on checkpoints that are files, as its users call it."""

from collections.abc import Callable, Mapping, Sequence

import torch
from captum.influence import TracInCP, TracInCPFast
from torch import nn
from torch.utils.data import TensorDataset

Peer = TracInCP | TracInCPFast


def fast(
    model: nn.Module, head: nn.Linear, dataset: TensorDataset, files: Mapping[str, float], batch: int
) -> TracInCPFast:
    """The last layer without its bias, in factors. `files`: the learning rate of each checkpoint."""
    return TracInCPFast(
        model,
        head,
        dataset,
        list(files),
        checkpoints_load_func=_load(files),
        loss_fn=_loss(),
        batch_size=batch,
    )


def exact(
    model: nn.Module, layers: Sequence[str], dataset: TensorDataset, files: Mapping[str, float], batch: int
) -> TracInCP:
    """Layers by name with their biases, by the gradient of each sample. `files`: the learning rate of each checkpoint."""
    return TracInCP(
        model,
        dataset,
        list(files),
        checkpoints_load_func=_load(files),
        layers=list(layers),
        loss_fn=_loss(),
        batch_size=batch,
        sample_wise_grads_per_batch=True,
    )


def _loss() -> nn.Module:
    return nn.CrossEntropyLoss(reduction="sum")


def _load(files: Mapping[str, float]) -> Callable[[nn.Module, str], float]:
    def load(model: nn.Module, path: str) -> float:
        model.load_state_dict(torch.load(path))
        return files[path]

    return load
