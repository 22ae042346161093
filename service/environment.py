"""The settings of this process, read from the environment, with what is wrong there in words."""

import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import structlog
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError as PydanticSettingsError

from service.settings import PREFIX, Settings

log = structlog.get_logger()

_FAILURE = 3  # exit code, which uvicorn has for a server that cannot start
# Variables of the client, of tests and of programs beside the service.
_NO_SETTINGS = frozenset({"SUSPECTS_URL", "SUSPECTS_KEY", "SUSPECTS_MCP_TOKEN", "SUSPECTS_DATA"})
_LIKE = 0.9


class SettingsError(Exception):
    """The environment has invalid settings. `faults` has a line for each, which names its variable."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def read_settings(**given: Any) -> Settings:
    """The settings of the environment, with these in place of their variables. Raises SettingsError."""
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError([_fault(one) for one in error.errors()]) from None
    except PydanticSettingsError as error:  # a variable that holds no JSON where it must
        raise SettingsError([str(error)]) from None


def settings_or_exit() -> Settings:
    """The settings of the environment. The log warns of misspelt names. Where a setting is invalid, the log names it and the process ends."""
    for line in misspelt_settings(os.environ):
        log.warning("a variable that is no setting", detail=line)
    try:
        return read_settings()
    except SettingsError as error:
        log.error("invalid settings", faults=error.faults)  # noqa: TRY400 - the reason is enough
        sys.exit(_FAILURE)


def _fault(error: ErrorDetails) -> str:
    said = error["msg"].removeprefix("Value error, ")
    name = ".".join(map(str, error["loc"]))
    return f"{PREFIX}{name.upper()}: {said}" if name else said


def misspelt_settings(environment: Mapping[str, str]) -> list[str]:
    """Variables that are no settings but are named nearly like one, each with that one."""
    names = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    others = [one for one in environment if one.startswith(PREFIX) and one not in names | _NO_SETTINGS]
    found = [(one, get_close_matches(one, sorted(names), 1, _LIKE)) for one in sorted(others)]
    return [f"{one} is no setting; {like[0]} is" for one, like in found if like]
