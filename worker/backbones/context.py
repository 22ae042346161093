"""Where the networks, cached outputs and scratch files of pretrained models are."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from worker.backbones.feature_cache import FeatureCache
from worker.machine.devices import CPU


@dataclass(frozen=True)
class BackboneContext:
    """Folders and the device that pretrained networks use.

    `models`: networks that the operator installed. `networks`: networks that clients uploaded. `features`: cached outputs
    of frozen parts. `scratch`: room for large arrays of one job. Frozen parts run on `device`. `on_progress` is called
    with the share of the samples that has been run, in [0, 1].
    """

    models: Path
    networks: Path
    features: FeatureCache
    scratch: Path
    device: torch.device = CPU
    on_progress: Callable[[float], None] = lambda _share: None
