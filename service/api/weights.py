"""Weights that a job has trained."""

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse

from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.domain.errors import NotFound
from service.store.seal import check_once

router = APIRouter(tags=["networks"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))

_SAFETENSORS = "application/vnd.safetensors"


@router.get(
    "/jobs/{job_id}/model",
    summary="The weights at the end of training",
    response_class=FileResponse,
    responses=problems(404, 409, 410)
    | {200: {"description": "Weights by name, safetensors.", "content": {_SAFETENSORS: {}}}},
)
def get_model(job: CompletedJob, services: ServicesDependency) -> FileResponse:
    """Weights of the part that was trained; with a frozen backbone, of the head only. Another job can start from them as a network."""
    path = services.blobs.model(job.id)
    if not path.exists():
        raise NotFound("this job has no weights: its training was recorded elsewhere, or it ran before they were kept")
    check_once(path)
    return FileResponse(path, media_type=_SAFETENSORS, filename=f"{job.id}.safetensors")
