"""The frozen part of a pretrained network: outputs for samples, cached for later jobs."""

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from service.domain.errors import TooLarge
from service.domain.specs import JobSpec
from worker.backbones import loading
from worker.backbones.backbone_files import find_backbone, uploaded_network
from worker.backbones.backbone_parts import MultiInputSequential
from worker.backbones.context import BackboneContext
from worker.backbones.feature_cache import select_rows
from worker.backbones.image_reader import ImageReader
from worker.backbones.number_reader import digest as numbers_digest
from worker.backbones.text_reader import TextReader
from worker.data.canonical import Canonical
from worker.data.encoding import Inputs
from worker.machine.devices import CPU

_VERSION = 2  # of cached outputs; another number makes every entry invalid
_LARGEST = 2 * 2**30  # bytes of samples among which anomalies are planted
_COLUMN = {"image": "image", "text": "text"}
_KEY_PARAMS = ("image_size", "length", "pooling", "layer", "pixel_mean", "pixel_deviation")


class FrozenBackbone:
    """The frozen part of a job's network; its weights are loaded when it is first run.

    `trainable`: how many of the last blocks are trained, or "all"; then the frozen part is a reader and nothing else.
    """

    def __init__(self, spec: JobSpec, dataset: Canonical, backbones: BackboneContext) -> None:
        self._params, self._context, self._dataset = spec.model.params, backbones, dataset
        if spec.model.network is None:
            self._source = find_backbone(self._params["backbone"], dataset.header.modality, backbones.models)
        else:
            self._source = uploaded_network(spec.model.network, backbones.networks)
        self.trainable = self._params["trainable_blocks"]
        self._keys: dict[Path, str] = {}

    @property
    def name(self) -> str:
        """The name that the job gave, or the id of the uploaded network."""
        return self._source.name

    @property
    def digest(self) -> str:
        """SHA-256 of the network's files."""
        return self._source.digest

    @property
    def trained_part(self) -> MultiInputSequential:
        """The blocks that are trained. Raises ValueError where there is none."""
        _, back = self._split
        if back is None:
            raise ValueError("nothing of this network is trained")
        return back

    def outputs(self, dataset: Canonical, rows: Int[Tensor, " k"]) -> Inputs:
        """Outputs of the frozen part for some samples of a dataset; those of all its samples are cached."""
        return select_rows(self._all_outputs(dataset), rows, self._context.scratch)

    def read_samples(self, dataset: Canonical, rows: Int[Tensor, " k"]) -> Tensor:
        """The network's input for some samples: pixels, tokens or numbers. Raises TooLarge above 2 GiB."""
        parts: list[Tensor] = []
        for chunk in self._reader.chunks(dataset, rows):
            parts.append(chunk)
            wanted = chunk[0].numel() * chunk.element_size() * len(rows)
            if wanted > _LARGEST:
                raise TooLarge(
                    f"glitches other than labels are planted in memory, and these samples take {wanted / 2**30:.1f} GiB "
                    f"there, more than {_LARGEST / 2**30:.0f}: plant mislabels only, lower image_size, or take fewer samples"
                )
        return torch.cat(parts)

    def encode_all(self, samples: Canonical) -> Iterator[Inputs]:
        """Outputs of the frozen part for samples that are not cached, in order and in parts."""
        for chunk in self._reader.chunks(samples, torch.arange(len(samples.labels))):
            yield self.encode(chunk)

    def encode(self, samples: Tensor) -> Inputs:
        """Outputs of the frozen part for pixels, tokens or numbers, in the order of the samples."""
        found = sorted(self._passes(samples), key=lambda one: int(one[0][0])) if len(samples) else []
        order = torch.cat([places for places, _ in found]).argsort()
        return tuple(torch.cat(part)[order] for part in zip(*(given for _, given in found), strict=True))

    @cached_property
    def _reader(self) -> loading.Reader:
        reader = loading.open_reader(self._source, self._params)
        match reader:
            case ImageReader():
                return reader.with_white_of(self._dataset)
            case TextReader() if self.trainable != 0:
                # Outputs per token are cached as one array, so all texts have the same number of tokens.
                return reader.with_usual_length(self._dataset)
            case _:
                return reader

    @cached_property
    def _split(self) -> tuple[MultiInputSequential | None, MultiInputSequential | None]:
        front, back = loading.load_parts(self._source, self._reader, self._params).split(self.trainable)
        return (None if front is None else front.to(self._context.device)), back

    def _all_outputs(self, dataset: Canonical) -> Inputs:
        # The key needs a pass over all samples.
        key = self._keys.get(dataset.path) or self._keys.setdefault(dataset.path, self._key(dataset))
        found = self._context.features.find(key)
        if found is None:
            count = len(dataset.labels)
            found = self._context.features.store(key, count, self._with_progress(dataset, count))
        return found

    def _with_progress(self, dataset: Canonical, count: int) -> Iterator[tuple[Int[Tensor, " p"], Inputs]]:
        done, seen = 0, 0
        for chunk in self._reader.chunks(dataset, torch.arange(count)):
            for places, given in self._passes(chunk):
                yield done + places, given
                seen += len(places)
                self._context.on_progress(seen / count)
            done += len(chunk)

    def _given(self, seen: Tensor) -> Inputs:
        # Loaded before inference mode begins: parameters made inside it can never be trained.
        front, _ = self._split
        if front is None:
            return (seen,)
        with torch.inference_mode():
            found = front(seen.to(self._context.device))
        return tuple(part.to(CPU).contiguous() for part in (found if isinstance(found, tuple) else (found,)))

    def _passes(self, chunk: Tensor) -> Iterator[tuple[Int[Tensor, " p"], Inputs]]:
        for places, seen in self._reader.passes(chunk, even=self.trainable != 0):
            yield places, self._given(seen)

    def _key(self, dataset: Canonical) -> str:
        # Labels are left out, so that a corrected dataset finds the outputs of its original.
        column = _COLUMN.get(dataset.header.modality)
        key_parts: dict[str, Any] = {
            "version": _VERSION,
            "samples": numbers_digest(dataset) if column is None else dataset.digest(column),
            "network": self.digest,
            "trained": self.trainable,
            "white": self._dataset.white,
            **{name: self._params[name] for name in _KEY_PARAMS if name in self._params},
        }
        if self.trainable != 0 and isinstance(self._reader, TextReader):
            key_parts["length"] = self._reader.length
        return hashlib.sha256(json.dumps(key_parts, sort_keys=True).encode()).hexdigest()
