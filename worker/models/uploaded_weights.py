"""Loads weights that a client uploaded into a network of the table of models."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from service.domain.errors import FieldError, Invalid
from service.domain.models.uploaded import StateParams
from service.domain.specs import ModelRequest
from service.store.seal import check

_LISTED = 10


def architecture(request: ModelRequest) -> ModelRequest:
    """The model that is trained: the one requested, or the one that the uploaded weights are for."""
    if "architecture" not in request.params:
        return request
    given = StateParams.model_validate(request.params)
    return ModelRequest(name=given.architecture, params=given.params)


def load_state(model: nn.Module, last: nn.Linear, request: ModelRequest, path: Path) -> None:
    """Load the safetensors file at `path` into the network, whose last layer is `last`.

    Raises Damaged, and Invalid naming tensors that are missing, unknown, of another shape or not finite.
    """
    given = StateParams.model_validate(request.params)
    check(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _invalid(f"it cannot be read: {error}") from error
    expected = model.state_dict()
    if given.head == "new":
        # A network that is one Linear layer names its weights without a prefix.
        own = {
            f"{name}.{part}" if name else part
            for name, module in model.named_modules()
            if module is last
            for part in last.state_dict()
        }
        tensors = {name: value for name, value in tensors.items() if name not in own}
        tensors |= {name: expected[name] for name in own}
    broken = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise _invalid(f"{_some(broken)} {'has' if len(broken) == 1 else 'have'} numbers that are not finite")
    found = _faults(tensors, expected)
    if found:
        raise _invalid(f"it is not a {given.architecture} with these parameters: {'; '.join(found)}")
    model.load_state_dict(tensors)


def _faults(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> list[str]:
    missing = [name for name in expected if name not in tensors]
    strange = [name for name in tensors if name not in expected]
    unlike = [
        f"{name} is {tuple(tensors[name].shape)}, {tuple(value.shape)} is expected"
        for name, value in expected.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    advice = " (head: new takes new weights for the last layer)" if unlike else ""
    return [
        *([f"it lacks {_some(missing)}"] if missing else []),
        *([f"it has {_some(strange)}, which the network does not have"] if strange else []),
        *([f"{_some(unlike)}{advice}"] if unlike else []),
    ]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def _invalid(message: str) -> Invalid:
    place: list[str | int] = ["model", "params", "network"]
    return Invalid(f"the uploaded weights: {message}", errors=[FieldError(loc=place, msg=message)])
