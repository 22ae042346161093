"""Runs exported programs: each call of service.domain.program is one operator of torch on tensors."""

import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from service.domain.errors import Invalid
from service.domain.program import BYTE, Argument, Call, LinearLayer, Program, TorchConstant, ValueName, Weight
from service.store.programs import ProgramFile
from worker.backbones.backbone_files import BackboneFiles, invalid_backbone
from worker.backbones.backbone_parts import BackboneParts
from worker.backbones.image_reader import ImageReader
from worker.backbones.number_reader import NumberReader
from worker.data.pixels import Frame

_DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_SIZES: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "neg": operator.neg,
}
_LARGEST_BYTE = 255.0
# Not faults of the program. The oldest supported torch has no second one.
_MACHINE_ERRORS = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
_LONGEST_REASON = 300


class ProgramBody(nn.Module):
    """A program up to the input of one of its linear layers, `layer`."""

    def __init__(self, program: Program, layer: LinearLayer, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._given, self._entered, self._batch = program.given, layer.entered, program.shape[0]
        self._takes_bytes = program.dtype == BYTE
        self._calls = _needed(program.calls, layer.entered)
        used = {name for call in self._calls for name in _names(call)} | {layer.entered}
        self._stored = [weight.argument for weight in program.weights if weight.argument in used]
        for weight in program.weights:
            if weight.argument in used:
                self._keep(weight, tensors[weight.argument])
        self._operators = [_function(call) for call in self._calls]
        self._writes = any(_writes(one) for one in self._operators)
        self._over = _last_uses(self._calls, layer.entered)

    def normalised(self, seen: ImageReader | NumberReader) -> nn.Module:
        """The module that standardises a reader's output; a program that takes bytes gets bytes."""
        return nn.Identity() if self._takes_bytes else seen.normalise

    def _keep(self, weight: Weight, tensor: Tensor) -> None:
        try:
            if weight.trained:
                self.register_parameter(weight.argument, nn.Parameter(tensor))
            else:
                self.register_buffer(weight.argument, tensor)
        except KeyError as error:
            raise Invalid(f"the exported program: no tensor can be called {weight.argument!r} in it") from error

    def forward(self, samples: Tensor) -> Tensor:
        """One row per sample. Raises Invalid where the layer's input has no such shape."""
        if self._batch is None:
            return self._run(samples)
        parts = [self._padded(part) for part in torch.split(samples, self._batch)]
        return torch.cat(parts)

    def _padded(self, part: Tensor) -> Tensor:
        """Run a program with a fixed batch size: the batch is filled up, and the added rows are removed again."""
        missing = (self._batch or 0) - len(part)
        if missing == 0:
            return self._run(part)
        return self._run(torch.cat([part, part[:1].expand(missing, *part.shape[1:])]))[: len(part)]

    def _run(self, samples: Tensor) -> Tensor:
        known: dict[str | None, Any] = {self._given: samples, **{name: getattr(self, name) for name in self._stored}}
        if self._writes:
            # A program that writes may write to a view of any of them.
            known = {name: value.clone() for name, value in known.items()}
        where = samples.device
        for call, function, over in zip(self._calls, self._operators, self._over, strict=True):
            try:
                found = function(
                    *(_value(one, known, where) for one in call.positional),
                    **{name: _value(one, known, where) for name, one in call.named.items()},
                )
                results = found if isinstance(found, list | tuple) else (found,)
                known.update(zip(call.results, results, strict=True))
            except _MACHINE_ERRORS:
                raise
            except (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
                raise Invalid(f"the exported program: {call.operator} fails: {_reason(error)}") from error
            for name in over:
                del known[name]
        entered: Any = known[self._entered]
        if not isinstance(entered, Tensor):
            raise Invalid("the exported program: what enters the named layer is no tensor. Name another layer")
        if entered.dim() != 2 or len(entered) != len(samples):
            raise Invalid(
                f"the exported program: what enters the named layer has the shape {tuple(entered.shape)} for "
                f"{len(samples)} samples; one row a sample is expected. Name another layer"
            )
        return entered


def reader(
    source: BackboneFiles, mean: Sequence[float] | None, deviation: Sequence[float] | None
) -> ImageReader | NumberReader:
    """The reader for the program's input: pixels of its size or rows of its width. Raises Invalid for another input."""
    with ProgramFile(source.files[0]) as file:
        program = file.program()
    match program.shape:
        case (_, width):
            return NumberReader(width)
        case (_, int(channels), int(height), int(width)):
            frame = Frame(channels, height, width)
        case _:
            raise invalid_backbone(f"it takes an input of shape {program.shape}")
    if program.dtype == BYTE:
        return ImageReader.of(frame, (0.0,) * channels, (1.0,) * channels)
    # Clients count pixels from 0 to 1.
    mean, deviation = mean or [0.0], deviation or [1.0]
    return ImageReader.of(frame, _colours(mean, channels), _colours(deviation, channels))


def _colours(given: Sequence[float], channels: int) -> tuple[float, ...]:
    if len(given) not in (1, channels):
        raise invalid_backbone(
            f"pixel_mean and pixel_deviation are given for {len(given)} colours, and it takes {channels}"
        )
    return tuple(_LARGEST_BYTE * one for one in (given if len(given) == channels else list(given) * channels))


def parts(source: BackboneFiles, seen: ImageReader | NumberReader, layer: str | None) -> BackboneParts:
    """The program up to the named linear layer, or the last, as one part: it cannot be split."""
    body = open_body(source.files[0], layer)
    return BackboneParts("exported program", nn.Sequential(body.normalised(seen), body), (), nn.Identity())


def open_body(path: Path, name: str | None) -> ProgramBody:
    """The program at `path` up to the named linear layer, or the last. Raises Invalid."""
    with ProgramFile(path) as file:
        program = file.program()
        layer = program.layer(name)
        tensors = {weight.argument: _tensor(weight, file.bytes_of(weight)) for weight in program.weights}
    return ProgramBody(program, layer, tensors)


def _tensor(weight: Weight, storage: bytes) -> Tensor:
    dtype = _DTYPES[weight.dtype]
    if 0 in weight.shape:
        return torch.empty(weight.shape, dtype=dtype)
    whole = len(storage) // dtype.itemsize * dtype.itemsize
    numbers = torch.frombuffer(bytearray(storage[:whole]), dtype=dtype)
    return numbers.as_strided(weight.shape, weight.strides, weight.offset).clone()


def _function(call: Call) -> Callable[..., Any]:
    if call.overload is None:
        return _SIZES[call.operator]
    # Only names that service.domain.program let pass come here.
    packet = getattr(torch.ops.aten, call.operator, None)
    if packet is None or call.overload not in packet.overloads():
        raise Invalid(f"the exported program: this torch has no operator {call.operator}.{call.overload}")
    function: Callable[..., Any] = getattr(packet, call.overload)
    return function


def _reason(error: Exception) -> str:
    """The error in one line; texts of the program in it are escaped."""
    line = (str(error).splitlines() or [type(error).__name__])[0][:_LONGEST_REASON]
    return line.replace("\0", "").encode(errors="backslashreplace").decode()


def _writes(function: Callable[..., Any]) -> bool:
    """Whether an operator changes its arguments; operators on sizes have no schema and never do."""
    schema = getattr(function, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _value(argument: Argument, known: Mapping[str | None, Any], where: torch.device) -> Any:
    match argument:
        case ValueName(name):
            return known[name]
        case TorchConstant("dtype", number):
            return _DTYPES[number]
        case TorchConstant("memory_format", number):
            return _FORMATS[number]
        case TorchConstant():
            return where
        case tuple():
            return [_value(one, known, where) for one in argument]
        case _:
            return argument


def _names(call: Call) -> set[str]:
    return {name for argument in (*call.positional, *call.named.values()) for name in _inside(argument)}


def _inside(argument: Argument) -> set[str]:
    match argument:
        case ValueName(name):
            return {name}
        case tuple():
            return {name for one in argument for name in _inside(one)}
        case _:
            return set()


def _needed(calls: tuple[Call, ...], wanted: str) -> list[Call]:
    """The calls up to the one that computes `wanted`."""
    for place, call in enumerate(calls):
        if wanted in call.results:
            return list(calls[: place + 1])
    return []


def _last_uses(calls: list[Call], kept: str) -> list[list[str]]:
    """After each call, the results that no later call uses."""
    seen: set[str] = {kept}
    over: list[list[str]] = []
    made = {name for call in calls for name in call.results if name is not None}
    for call in reversed(calls):
        used = (_names(call) | {name for name in call.results if name is not None}) & made
        over.append(sorted(used - seen))
        seen |= used
    return over[::-1]
