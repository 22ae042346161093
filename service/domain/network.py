"""Networks that clients upload: weights for a model of GET /models, or a whole exported program."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.domain.dataset import Frozen
from service.domain.names import Name

NetworkKind = Literal["state", "program"]


class NetworkSpec(Frozen):
    """Description of an uploaded network by the client."""

    name: Name | None = Field(None, max_length=200, description="Shown in lists; the file's name when left out.")


class NetworkLayer(Frozen):
    """A linear layer of an exported program."""

    name: str
    in_features: int
    out_features: int


class NetworkInfo(Frozen):
    """An uploaded network as the API shows it."""

    id: str
    name: str
    kind: NetworkKind = Field(description="state: weights by name. program: what torch.export.save wrote.")
    digest: str
    bytes: int
    tensors: int = Field(description="Number of stored tensors.")
    numbers: int = Field(description="Number of values in all tensors together.")
    input: list[int | None] | None = Field(
        None,
        description="Of a program: the shape of its input, null where it may be any size; the first is the samples.",
    )
    input_type: Literal["float32", "uint8", "other"] | None = Field(None, description="Of a program: its numbers.")
    layers: list[NetworkLayer] = Field(
        default_factory=list, description="Of a program: its linear layers, in the order of their use."
    )
    created_at: datetime
