"""Samples to what a pretrained network's frozen part gives of them, and the network that is trained on that."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from service.domain.errors import TooLarge
from service.domain.specs import Glitch, JobSpec
from worker.backbones import loading
from worker.backbones.features import Features, gathered
from worker.backbones.footing import Footing
from worker.backbones.images import Pictures
from worker.backbones.parts import Chain
from worker.backbones.rows import digest as rows_digest
from worker.backbones.sources import find, uploaded
from worker.backbones.words import Words
from worker.data.decode import Canonical, Inputs
from worker.data.glitches import PlantedData, plant
from worker.data.shape import InputShape
from worker.data.standard import Standard
from worker.devices import CPU
from worker.models import build
from worker.models.pretrained import Tuned

_VERSION = 2  # of what is kept; another number makes every entry anew
_BLOCK = 64  # samples in one pass of the trained part
_JUDGED = 1_024  # samples that tell the scale of what the trained part gives
_LARGEST = 2 * 2**30  # bytes of samples among which anomalies are planted


@dataclass(frozen=True)
class Shelf:
    """Where pretrained networks are, where what they gave is kept, and where a job may put large arrays.

    `models` are the operator's, `networks` those that clients uploaded. Frozen parts run on `device`.

    `tell` hears the share of a pass that is done, in [0, 1].
    """

    models: Path
    networks: Path
    features: Features
    scratch: Path
    device: torch.device = CPU
    tell: Callable[[float], None] = lambda _share: None


@dataclass(frozen=True)
class Encoded:
    """Inputs of the training part, with what was planted, and of the reference, and what is trained on them.

    `frozen` are the training part's rows of numbers where nothing else than a probe is trained; `footing` is what new
    samples are to be put on, where it is not the weights alone.
    """

    planted: PlantedData
    reference: Inputs
    model: nn.Module
    frozen: Tensor | None
    footing: Footing | None = None


def encode(
    spec: JobSpec,
    dataset: Canonical,
    rows: Int[Tensor, " n"],
    reference: tuple[Canonical, Int[Tensor, " m"]] | None,
    shelf: Shelf,
) -> Encoded:
    """Run the frozen part where nobody has before, plant, and build what is trained. Raises Invalid, TooLarge."""
    front = Front(spec, dataset, shelf)
    planted = _planted(front, dataset, rows, spec.glitches or [])
    inputs = planted.inputs
    known = None if reference is None else front.of(*reference)
    classes = len(dataset.header.classes)
    if front.trainable == 0:
        # The scale is that of the samples as they came.
        (plain,) = front.of(dataset, rows)
        standard = Standard.fit(lambda: _doubles(plain))
        found = standardised(inputs[0], standard)
        known = (standardised(known[0], standard),) if known is not None else (found[:0],)
        model = trained(spec, standard, None, classes)
        return Encoded(replace(planted, inputs=(found,)), known, model, found, Footing(front.network, standard))
    body = front.back
    standard = Standard.fit(lambda: _given(body, inputs))
    known = tuple(part[:0] for part in inputs) if known is None else known
    model = trained(spec, standard, body, classes)
    return Encoded(planted, known, model, None, Footing(front.network, standard))


def trained(spec: JobSpec, standard: Standard, body: nn.Module | None, classes: int) -> nn.Module:
    """What is trained, as it is before the first step: a probe on rows of that scale, or a body and a probe."""
    shape = InputShape("embedding", embedding=standard.width)
    head = build(spec.model, shape, classes, spec.training.seed)
    return head if body is None else Tuned(body, standard, head)


class Front:
    """The frozen part of a job's network, loaded when it has to be run; nothing but a reader where all is trained."""

    def __init__(self, spec: JobSpec, dataset: Canonical, shelf: Shelf) -> None:
        self._params, self._shelf, self._dataset = spec.model.params, shelf, dataset
        if spec.model.network is None:
            self._source = find(self._params["backbone"], dataset.header.modality, shelf.models)
        else:
            self._source = uploaded(spec.model.network, shelf.networks)
        self.trainable = self._params["trainable_blocks"]
        self._keys: dict[Path, str] = {}

    @property
    def name(self) -> str:
        """What the network is called."""
        return self._source.name

    @property
    def network(self) -> str:
        """Digest of the network's files."""
        return self._source.digest

    @property
    def back(self) -> Chain:
        """What is trained. Raises ValueError where that is nothing."""
        _, back = self._cut
        if back is None:
            raise ValueError("nothing of this network is trained")
        return back

    def of(self, dataset: Canonical, rows: Int[Tensor, " k"]) -> Inputs:
        """What the frozen part gives of some samples of a dataset; it is kept for all of them."""
        return gathered(self._whole(dataset), rows, self._shelf.scratch)

    def raw(self, dataset: Canonical, rows: Int[Tensor, " k"]) -> Tensor:
        """The samples themselves: pixels or tokens. Raises TooLarge."""
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

    def fresh(self, samples: Canonical) -> Iterator[Inputs]:
        """What the frozen part gives of samples that are not kept, in order and in parts."""
        for chunk in self._reader.chunks(samples, torch.arange(len(samples.labels))):
            yield self.run(chunk)

    def run(self, raw: Tensor) -> Inputs:
        """What the frozen part gives of pixels or tokens."""
        found = sorted(self._passed(raw), key=lambda one: int(one[0][0])) if len(raw) else []
        order = torch.cat([places for places, _ in found]).argsort()
        return tuple(torch.cat(part)[order] for part in zip(*(given for _, given in found), strict=True))

    @cached_property
    def _reader(self) -> loading.Reader:
        reader = loading.reader(self._source, self._params)
        match reader:
            case Pictures():
                return reader.lit(self._dataset)
            case Words() if self.trainable != 0:
                # Where tokens are kept one by one, all texts have the same number of them.
                return reader.usual(self._dataset)
            case _:
                return reader

    @cached_property
    def _cut(self) -> tuple[Chain | None, Chain | None]:
        front, back = loading.parts(self._source, self._reader, self._params).cut(self.trainable)
        return (None if front is None else front.to(self._shelf.device)), back

    def _whole(self, dataset: Canonical) -> Inputs:
        # Reading all samples to know them again takes a while.
        key = self._keys.get(dataset.path) or self._keys.setdefault(dataset.path, self._key(dataset))
        found = self._shelf.features.find(key)
        if found is None:
            count = len(dataset.labels)
            found = self._shelf.features.keep(key, count, self._counted(dataset, count))
        return found

    def _counted(self, dataset: Canonical, count: int) -> Iterator[tuple[Int[Tensor, " p"], Inputs]]:
        done, seen = 0, 0
        for chunk in self._reader.chunks(dataset, torch.arange(count)):
            for places, given in self._passed(chunk):
                yield done + places, given
                seen += len(places)
                self._shelf.tell(seen / count)
            done += len(chunk)

    def _given(self, seen: Tensor) -> Inputs:
        # Loaded outside: what is made in inference mode can never be trained.
        front, _ = self._cut
        if front is None:
            return (seen,)
        with torch.inference_mode():
            found = front(seen.to(self._shelf.device))
        return tuple(part.to(CPU).contiguous() for part in (found if isinstance(found, tuple) else (found,)))

    def _passed(self, chunk: Tensor) -> Iterator[tuple[Int[Tensor, " p"], Inputs]]:
        for places, seen in self._reader.passes(chunk, even=self.trainable != 0):
            yield places, self._given(seen)

    def _key(self, dataset: Canonical) -> str:
        # Labels are none of it, so that a corrected dataset finds what its original left.
        column = _COLUMN.get(dataset.header.modality)
        told: dict[str, Any] = {
            "version": _VERSION,
            "samples": rows_digest(dataset) if column is None else dataset.digest(column),
            "network": self.network,
            "trained": self.trainable,
            "white": self._dataset.white,
            **{name: self._params[name] for name in _TELLING if name in self._params},
        }
        if self.trainable != 0 and isinstance(self._reader, Words):
            told["length"] = self._reader.length
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


_COLUMN = {"image": "image", "text": "text"}
_TELLING = ("image_size", "length", "pooling", "layer", "pixel_mean", "pixel_deviation")


def _planted(front: Front, dataset: Canonical, rows: Int[Tensor, " n"], glitches: Sequence[Glitch]) -> PlantedData:
    """What is planted in samples goes through the frozen part like any other sample."""
    labels, classes = dataset.labels[rows], len(dataset.header.classes)
    given = front.of(dataset, rows)
    if all(glitch.kind.startswith("mislabeled") for glitch in glitches):
        # How alike classes are is told by means over places.
        flat = given[0].float().flatten(2).mean(2) if given[0].dim() == 4 else given[0].float()
        flat = flat.mean(1) if flat.dim() == 3 else flat
        return replace(plant((flat,), labels, classes, glitches), inputs=given)
    planted = plant((front.raw(dataset, rows),), labels, classes, glitches)
    replaced = torch.tensor([kind is not None and not kind.startswith("mislabeled") for kind in planted.kinds])
    places = replaced.nonzero().squeeze(1)
    if len(places):
        for part, changed in zip(given, front.run(planted.inputs[0][places]), strict=True):
            part[places] = changed
    return replace(planted, inputs=given)


def _doubles(x: Tensor) -> Iterator[Any]:
    for part in torch.split(x, _JUDGED):
        yield part.double().numpy()


def standardised(x: Tensor, standard: Standard) -> Tensor:
    """Rows of numbers on that scale, in float32."""
    found = torch.empty(len(x), standard.width)
    for rows in torch.split(torch.arange(len(x)), _JUDGED):
        found[rows] = torch.from_numpy(standard.apply(x[rows].double().numpy())).float()
    return found


def _given(body: Chain, inputs: Inputs) -> Iterator[Any]:
    body.eval()
    few = torch.arange(len(inputs[0]))[:: max(1, len(inputs[0]) // _JUDGED)]
    for rows in torch.split(few, _BLOCK):
        with torch.inference_mode():
            found = body(*(part[rows] for part in inputs))
        yield found.double().numpy()
