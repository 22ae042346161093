"""Responses about the service: health, readiness, models and signals."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.domain.signal import Signal


class ModelView(BaseModel):
    """A model that a job may use."""

    name: str
    title: str
    modality: str
    cost: Literal["low", "medium", "high"]
    pretrained: bool
    default: bool = Field(description="Whether `auto` picks it for some data of its modality.")
    params: dict[str, Any] = Field(description="JSON schema of `model.params`.")
    training: dict[str, Any] = Field(
        description="What `training` fields become when left out; empty where nothing is trained."
    )
    fine_tuning: dict[str, Any] = Field(
        description="And what they become where `trainable_blocks` of a pretrained network are trained, if that differs."
    )


class ModelList(BaseModel):
    """All models."""

    items: list[ModelView]
    total: int


class SignalKindList(BaseModel):
    """All signals. The two with `headline` are always computed."""

    items: list[Signal]
    total: int


class Check(BaseModel):
    """State of one part that the service needs."""

    ok: bool
    detail: str


class WorkerCounts(BaseModel):
    """Workers that have written lately."""

    alive: int = Field(description="Workers, whether or not they can compute.")
    ready: int = Field(description="Processes of workers that can take a job or are computing one.")


class Readiness(BaseModel):
    """Whether jobs can be accepted and computed now."""

    status: Literal["ready", "not_ready"]
    workers: WorkerCounts | None = Field(None, description="null where the database cannot be reached.")
    checks: dict[Literal["database", "broker", "storage", "worker"], Check]


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"] = "ok"
    version: str
