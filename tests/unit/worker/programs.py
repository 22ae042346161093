"""Networks exported as their users do it, and archives that somebody has tampered with."""

import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.unit.worker.networks import IMAGES, OTHER, SIDE

_SAMPLES = 3


class Classifier(nn.Module):
    """A network of images with a linear layer on the means of its last maps, or on its pooled output."""

    def __init__(self, body: nn.Module, width: int, classes: int = 4) -> None:
        super().__init__()
        self.body = body
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.fc(self.activations(x))
        return logits

    def activations(self, x: Tensor) -> Tensor:
        """What enters the last layer."""
        found: Tensor = self.body(pixel_values=x).last_hidden_state
        return found.flatten(2).mean(2) if found.dim() == 4 else found[:, 0]


class Small(nn.Module):
    """Convolution, normalisation, pooling, dropout: what users write themselves; some of it in place."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.hidden = nn.Linear(16, 6)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.fc(self.activations(x))
        return logits

    def activations(self, x: Tensor) -> Tensor:
        """What enters the last layer."""
        maps = nn.functional.adaptive_avg_pool2d(self.act(self.norm(self.conv(x))), 2)
        entered: Tensor = torch.tanh(self.hidden(self.drop(maps.flatten(1))))
        return entered


def made(family: str) -> nn.Module:
    """A network of a family, with weights of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if family == "small":
            network: nn.Module = Small()
        elif family == "table":
            network = nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 8), nn.GELU(), nn.Linear(8, 3))
        else:
            make: Any = {**IMAGES, **OTHER}[family]
            body = make()
            with torch.no_grad():
                found = body.eval()(pixel_values=torch.zeros(1, 3, SIDE, SIDE)).last_hidden_state
            network = Classifier(body, found.shape[1] if found.dim() == 4 else found.shape[2])
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 1.5)
    return network.eval()


def sample(family: str, rows: int = _SAMPLES) -> Tensor:
    """Inputs of a family."""
    shape = (rows, 5) if family == "table" else (rows, 3, SIDE, SIDE)
    return torch.randn(shape, generator=torch.Generator().manual_seed(rows))


def export(network: nn.Module, given: Tensor, path: Path, *, any_batch: bool = True, decompose: bool = False) -> Path:
    """Write the network as torch.export does."""
    sizes = ({0: torch.export.Dim("samples", min=2)},) if any_batch else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own parts
        program = torch.export.export(network, (given,), dynamic_shapes=sizes)
        if decompose:
            program = program.run_decompositions()
        torch.export.save(program, path)
    return path


def tampered(path: Path, to: Path, changes: Mapping[str, Callable[[bytes], bytes | None]]) -> Path:
    """A copy whose members with these endings are changed, or left out where nothing is given."""
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(to, "w") as after:
        for name in before.namelist():
            content: bytes | None = before.read(name)
            for ending, change in changes.items():
                if name.endswith(ending) and content is not None:
                    content = change(content)
            if content is not None:
                after.writestr(name, content)
    return to
