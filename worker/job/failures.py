"""Failures of jobs and rescorings, in words for whoever asked for them."""

import sqlalchemy as sa
import torch

from service.domain.errors import SuspectsError, is_disk_full, told_by_field
from service.domain.job import JobError
from worker.training.loop import Diverged


def explain(error: Exception) -> JobError:
    """Why it failed, and what to change."""
    match error:
        case SuspectsError():
            return JobError(code=error.code, detail=_detail(error))
        case Diverged():
            return JobError(code="diverged", detail=str(error))
        case MemoryError():
            detail = str(error) or "memory ran out; use a smaller model, batch or dataset"
            return JobError(code="out_of_memory", detail=detail)
        case torch.OutOfMemoryError():
            return JobError(code="out_of_memory", detail="the GPU's memory ran out; use a smaller model or batch")
        case OSError() | sa.exc.OperationalError() if is_disk_full(error):
            return JobError(code="storage_full", detail="the disk is full; free some space, then retry the job")
        case FileNotFoundError(filename=str() as name):
            return JobError(code="damaged", detail=f"{name} is missing; restore it from a backup, then retry the job")
        case _:
            return JobError(code="internal", detail=f"{type(error).__name__}; the worker's log has the details")


def _detail(error: SuspectsError) -> str:
    """What is wrong, with the fields that it is about."""
    fields = told_by_field(error.errors)
    return error.detail if fields in error.detail else f"{error.detail} ({fields})"
