"""JSON read as models without changing what kind of value it has."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

M = TypeVar("M", bound=BaseModel)

_JSON = TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="constants"))


def of_json(model: type[M], value: Any) -> M:
    """The model of a JSON value, in which `true` is no number, 1 no boolean and "3" no number; 3.0 is a whole number.

    pydantic's own strict mode for Python values takes no JSON: it asks for dates and enumerations as objects. Raises ValidationError.
    """
    try:
        return model.model_validate_json(_JSON.dump_json(value), strict=True)
    except ValidationError as error:
        # JSON does not tell 3.0 from 3. Few write it so, and walking through every body takes time.
        if not any(fault["type"] == "int_type" for fault in error.errors(include_url=False, include_context=False)):
            raise
    return model.model_validate_json(_JSON.dump_json(_with_whole_numbers(value)), strict=True)


def _with_whole_numbers(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: _with_whole_numbers(one) for name, one in value.items()}
        case list():
            return [_with_whole_numbers(one) for one in value]
        case _:
            return value
