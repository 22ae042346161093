"""Corrected torch Datasets: samples of an uncorrected one, or of a folder of images, with other labels and without the removed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from usual_suspects.client.submissions.torch_sets import label_key


class CorrectedDataset(Dataset[Any]):
    """The items of `source` at `positions`, with the labels of `labels` (by position in `source`) in place of their own."""

    def __init__(
        self, source: Any, positions: Sequence[int], labels: Mapping[int, Any], label: str | None = None
    ) -> None:
        self.source, self.positions, self.labels = source, positions, labels
        self._label = label

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Any:
        position = self.positions[index]
        item = self.source[position]
        if position not in self.labels:
            return item
        if isinstance(item, Mapping):
            name = label_key(item, self._label)
            return {**item, name: _like(item[name], self.labels[position])}
        return type(item)([item[0], _like(item[1], self.labels[position]), *item[2:]])


class CorrectedImages(Dataset[Any]):
    """Images of files, and the place of their class in `classes`, as torchvision's ImageFolder has them.

    `samples` are paths and classes. `transform` is applied to each PIL image.
    """

    def __init__(self, samples: Sequence[tuple[Path, int]], classes: Sequence[str], transform: Any = None) -> None:
        self.samples, self.classes, self.transform = samples, classes, transform

    @property
    def targets(self) -> list[int]:
        """The class of each image."""
        return [target for _, target in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        from PIL import Image

        path, target = self.samples[index]
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        return (picture if self.transform is None else self.transform(picture)), target


def _like(old: Any, new: Any) -> Any:
    if isinstance(old, torch.Tensor):
        return torch.tensor(new, dtype=old.dtype).reshape(old.shape)
    return type(old)(new) if hasattr(old, "item") else new
