"""A file to upload, and what is needed to give its data back corrected."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# In the schema of a Parquet file that the client wrote: from which library its rows came.
MARK = b"usual-suspects-client"
LABEL = "label"


class UnsuitableData(TypeError):
    """Data that cannot be uploaded as they are; the message says what to do."""


class MissingPackage(ImportError):
    """A package that is not installed is needed."""


@dataclass(frozen=True)
class Origin:
    """Where uploaded data came from.

    `form` is a name of FORMS. `template` has the types of columns and no rows; `source` is what samples are read from again: a
    torch Dataset or a folder. `labels` are the labels by their texts. `label` is the column of labels that came beside the data. `places`
    are the values of a default index, which name no samples.
    """

    form: str
    template: Any = None
    source: Any = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None
    places: range | None = None


@dataclass(frozen=True)
class Prepared:
    """A file to upload; `options` are those of the dataset that its form asks for, `name` is its name where the caller gives none."""

    file: Path
    origin: Origin
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


def package(name: str, purpose: str) -> Any:
    """An optional package. Raises MissingPackage."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackage(f"{purpose} needs {name}: pip install {name}") from error


def is_of(data: Any, module: str, *names: str) -> bool:
    """Whether data are of a class of a package, which is loaded if they are."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(
        data, tuple(getattr(loaded, name) for name in names if hasattr(loaded, name))
    )
