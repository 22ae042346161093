"""Parser of the JSON descriptions that torch.export.save writes; see `service.domain.program` for what comes of it."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from service.domain.operators import CHECKS, SIZE_OPERATORS, TENSOR_OPERATORS, TRAINING_ARGUMENTS
from service.domain.program import (
    FLOATING,
    ITEM_SIZES,
    Argument,
    Call,
    LinearLayer,
    Program,
    TorchConstant,
    ValueName,
    Weight,
    unsupported,
)

_MOST_SIZES, _LARGEST_SIZE = 16, 2**40  # of one tensor
_LARGEST_INPUT = 2**28  # numbers; a batch of a fixed size included

_TENSORS, _SIZES = "torch.ops.aten.", "_operator."
_TRANSPOSITIONS = {"t": (), "permute": ((1, 0),), "transpose": (0, 1)}


def parse_program(model: Any, weights: Any, constants: Any) -> Program:
    """The program of a model's JSON and of the tables of its stored tensors. Raises Invalid saying what is not supported."""
    try:
        return _parse(model, weights, constants)
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        StopIteration,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise unsupported(f"its description is not as torch writes it: {type(error).__name__} {error}") from error


def _parse(model: Any, weights: Any, constants: Any) -> Program:
    module = model["graph_module"]
    graph, signature = module["graph"], module["signature"]
    stored = {
        name: {**entry, "path_name": f"{folder}/{entry['path_name']}"}
        for folder, table in (("constants", constants), ("weights", weights))
        for name, entry in table["config"].items()
    }
    found, given = _inputs(signature["input_specs"], stored)
    changed = {next(iter(one)) for one in signature["output_specs"]} - {"user_output"}
    if changed:
        raise unsupported(f"it changes what it stores ({', '.join(sorted(changed))}); {_EVAL}")
    meta = graph["tensor_values"][given]
    calls = tuple(_calls(graph["nodes"], given, frozenset(one.argument for one in found)))
    return Program(
        given=given,
        shape=_shape(meta["sizes"]),
        dtype=int(meta["dtype"]),
        weights=tuple(found),
        calls=calls,
        layers=tuple(_layers(calls, found)),
    )


_EVAL = "call model.eval() before torch.export.export"


def _inputs(specs: Sequence[Any], stored: Mapping[str, Any]) -> tuple[list[Weight], str]:
    """The stored tensors, and the name of the one input."""
    found, given = [], []
    for spec in specs:
        kind, content = next(iter(spec.items()))
        if kind == "user_input":
            given.append(_text(content["arg"]["as_tensor"]["name"]) if "as_tensor" in content["arg"] else None)
        elif kind in ("parameter", "buffer", "tensor_constant"):
            name = _text(content[f"{kind}_name"])
            found.append(_weight(_text(content["arg"]["name"]), name, kind == "parameter", stored))
        else:
            raise unsupported(f"it takes an input of kind {kind}")
    if len(given) != 1 or given[0] is None:
        raise unsupported(f"it takes {len(given)} inputs; one tensor of samples is expected")
    return found, given[0]


def _weight(argument: str, name: str, trained: bool, stored: Mapping[str, Any]) -> Weight:
    if name not in stored:
        raise unsupported(f"the tensor {name} is not stored in it")
    entry = stored[name]
    meta = entry["tensor_meta"]
    if entry["use_pickle"]:
        raise unsupported(
            f"the tensor {name} is stored as a pickle, which is never read; export a model of plain tensors on the CPU"
        )
    dtype, sizes, strides = int(meta["dtype"]), _counts(meta["sizes"]), _counts(meta["strides"])
    if dtype not in ITEM_SIZES or len(sizes) != len(strides) or len(sizes) > _MOST_SIZES:
        raise unsupported(f"the tensor {name} is of a type that is not read")
    (offset,) = _counts([meta["storage_offset"]])
    return Weight(
        argument, name, _text(entry["path_name"]), dtype, sizes, strides, offset, trained and dtype in FLOATING
    )


def _shape(sizes: Sequence[Any]) -> tuple[int | None, ...]:
    """Shape of the input; None for sizes that are not fixed."""
    found = tuple(_count(one["as_int"], 1) if "as_int" in one else None for one in sizes)
    if len(found) > _MOST_SIZES or prod(size or 1 for size in found) > _LARGEST_INPUT:
        raise unsupported(f"its input has more than {_MOST_SIZES} sizes or {_LARGEST_INPUT:,} numbers")
    return found


def _counts(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(_count(one["as_int"], 0) for one in values)


def _count(value: Any, least: int) -> int:
    if type(value) is not int or not least <= value < _LARGEST_SIZE:
        raise ValueError(f"{str(value)[:20]} is no size")
    return value


def _calls(nodes: Sequence[Any], given: str, stored: frozenset[str]) -> Iterator[Call]:
    known = {given, *stored}
    for node in nodes:
        operator, overload = _operator(_text(node["target"]))
        if operator in CHECKS:
            continue
        taken = [(_text(one["name"]), _argument(one["arg"], known), one.get("kind") == 1) for one in node["inputs"]]
        _check_call(operator, taken, stored)
        results = tuple(_results(node["outputs"]))
        made = {name for name in results if name is not None}
        if made & known:
            raise unsupported(f"it names two values {min(made & known)}")
        known |= made
        yield Call(
            operator,
            overload,
            tuple(value for _, value, by_place in taken if by_place),
            {name: value for name, value, by_place in taken if not by_place},
            results,
        )


def _check_call(operator: str, taken: Sequence[tuple[str, Argument, bool]], stored: frozenset[str]) -> None:
    doing = TRAINING_ARGUMENTS.get(_plain_name(operator))
    counts = any(name == "running_mean" and value is not None for name, value, _ in taken)
    if operator == "instance_norm" and not counts:
        doing = None  # it has nothing but the sample's own statistics
    if any(name == doing and value is True for name, value, _ in taken):
        raise unsupported(f"it was exported as it trains ({operator}); {_EVAL}")
    if any(name == "dropout_p" and value != 0 for name, value, _ in taken):
        raise unsupported(f"it drops out at random ({operator}); pass dropout_p=0.0 when the network is not training")
    first = taken[0][1] if taken else None
    if operator != _plain_name(operator) and isinstance(first, ValueName) and first.name in stored:
        raise unsupported(f"it changes what it stores ({operator}); {_EVAL}")


def _plain_name(operator: str) -> str:
    """Name of an operator without the underscore of the form that changes its first argument."""
    return operator if operator.startswith("_") else operator.removesuffix("_")


def _operator(target: str) -> tuple[str, str | None]:
    if target.startswith(_SIZES) and target.removeprefix(_SIZES) in SIZE_OPERATORS:
        return target.removeprefix(_SIZES), None
    name, _, overload = target.removeprefix(_TENSORS).partition(".")
    taken = _plain_name(name) in TENSOR_OPERATORS or name in CHECKS or name == "sym_size"
    if target.startswith(_TENSORS) and taken:
        return name, overload
    raise unsupported(f"it calls {target}, which is not among the operators that are run here")


_FORMATS = range(1, 5)
_KINDS: Mapping[str, Callable[[Any], TorchConstant]] = {
    "as_device": lambda _told: TorchConstant("device", 0),
    "as_scalar_type": lambda content: TorchConstant("dtype", _among(int(content), ITEM_SIZES)),
    "as_memory_format": lambda content: TorchConstant("memory_format", _among(int(content), _FORMATS)),
}
_LISTS = {
    "as_bools": "as_bool",
    "as_ints": "as_int",
    "as_floats": "as_float",
    "as_tensors": "as_tensor",
    "as_optional_tensors": "as_optional_tensor",
    "as_sym_ints": "as_sym_int",
}


def _argument(value: Mapping[str, Any], known: set[str]) -> Argument:
    ((kind, content),) = value.items()
    if kind in _LISTS:
        return tuple(_argument({_LISTS[kind]: one}, known) for one in content)
    match kind:
        case "as_bool" | "as_int" | "as_float" | "as_string":
            return _plain(content)
        case "as_tensor" | "as_sym_int":
            return _one(content, known)
        case "as_optional_tensor":
            return None if "as_none" in content else _one(content["as_tensor"], known)
        case "as_none" | "as_layout":
            return None  # all tensors are strided
        case "as_device" | "as_scalar_type" | "as_memory_format":
            return _KINDS[kind](content)
    raise unsupported(f"an operator takes an argument of kind {kind}")


def _one(content: Mapping[str, Any], known: set[str]) -> Argument:
    if "as_int" in content:
        return _plain(content["as_int"])
    name = _text(content["as_name"] if "as_name" in content else content["name"])
    if name not in known:
        raise unsupported(f"it uses {name} before it is there")
    return ValueName(name)


def _plain(value: Any) -> bool | int | float | str:
    # Infinite and undefined numbers are written as texts.
    special = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan")}
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return special.get(value, value)
    raise TypeError(f"{value!r} is no number or text")


def _among(number: int, known: Container[int]) -> int:
    if number not in known:
        raise ValueError(f"{number} is no type or layout that is read")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no name")
    value.encode()  # which raises for halves of characters: JSON can write them, and no answer can hold them
    if "\0" in value:
        raise ValueError(f"{value!r} is no name")
    return value


def _results(outputs: Sequence[Any]) -> Iterator[str | None]:
    for output in outputs:
        ((kind, content),) = output.items()
        match kind:
            case "as_tensor":
                yield _text(content["name"]) or None
            case "as_sym_int":
                yield _text(content["as_name"])
            case "as_tensors":
                yield from (_text(one["name"]) or None for one in content)
            case "as_none":
                yield None
            case _:
                raise unsupported(f"an operator gives a result of kind {kind}")


def _layers(calls: Sequence[Call], weights: Sequence[Weight]) -> Iterator[LinearLayer]:
    # With its weight as it is multiplied: of linear that is rows for what comes out, of products rows for what goes in.
    stored = {one.argument: (one, one.shape) for one in weights if len(one.shape) == 2 and one.name.endswith("weight")}
    for call in calls:
        values = (*call.positional, *call.named.values())
        names = [value.name for value in values if isinstance(value, ValueName)]
        if call.operator in _TRANSPOSITIONS and names and names[0] in stored:
            # Decomposed programs transpose the weight, and multiply then.
            if tuple(values[1:]) == _TRANSPOSITIONS[call.operator] and call.results[0] is not None:
                weight, shape = stored[names[0]]
                stored[call.results[0]] = weight, shape[::-1]
            continue
        place = {"linear": 0, "matmul": 0, "mm": 0, "addmm": 1}.get(call.operator)
        if place is not None and len(names) > place + 1 and names[place + 1] in stored:
            weight, shape = stored[names[place + 1]]
            inside, outside = shape[::-1] if call.operator == "linear" else shape
            name = weight.name.removesuffix("weight").removesuffix(".")
            yield LinearLayer(name, inside, outside, names[place])
