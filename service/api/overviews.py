"""A ranking as a whole: a map of its samples, its cut-offs, its classes, its annotators, its planted errors."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.actions.choose_cut_off import choose_cut_off
from service.actions.class_health import class_health
from service.actions.find import check_signal
from service.actions.map_samples import map_samples
from service.actions.planted_errors import planted_errors
from service.actions.rate_annotators import rate_annotators
from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.schemas.annotators import AnnotatorList, AnnotatorNumbers, AnnotatorView
from service.api.schemas.overviews import (
    ClassHealthList,
    ClassHealthView,
    CutOffList,
    CutOffView,
    DetectionCurve,
    MapPoints,
    PlantedErrorsView,
    SampleMapView,
)
from service.domain.errors import invalid
from service.domain.region import MapMethod

router = APIRouter(tags=["rankings"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))

_MOST_POINTS = 50_000
_MOST_CURVES = 12
_MOST_ANNOTATORS = 10_000
_DIGITS = 4  # of a coordinate, whose unit is the whole map's spread


@router.get("/jobs/{job_id}/map", summary="Where the samples lie", responses=problems(404, 409, 410, 422))
def show_map(
    job: CompletedJob,
    services: ServicesDependency,
    method: Annotated[MapMethod, Query(description="pca, or umap where the worker has it.")] = "pca",
    limit: Annotated[int, Query(ge=1, le=_MOST_POINTS, description="How many points at most.")] = 20_000,
) -> SampleMapView:
    """Every flagged sample as long as there is room, and a part of each class of the rest; the same part each time.

    The model's features before it has adapted to wrong labels give the places. `region` of GET /jobs/{id}/suspects takes what
    lies in a part of the map, samples that are not among the points included.
    """
    found = map_samples(services, job, method, limit)
    x, y = found.coordinates.astype(float).round(_DIGITS).T.tolist()
    return SampleMapView(
        method=method,
        methods=found.methods,
        samples=found.samples,
        placed=found.placed,
        labels=found.labels,
        verdicts=found.verdicts,
        decisions=found.decisions,
        points=MapPoints(
            id=found.ids,
            x=x,
            y=y,
            label=found.label.tolist(),
            suggested=found.suggested.tolist(),
            verdict=found.verdict.tolist(),
            decision=found.decision.tolist(),
        ),
        note=found.note,
    )


@router.get("/jobs/{job_id}/cut-offs", summary="What each cut-off would flag", responses=problems(404, 409, 410, 422))
def list_cut_offs(
    job: CompletedJob,
    services: ServicesDependency,
    by: Annotated[str, Query(description="mislabeled, anomalous, or any signal that the job computed.")] = "mislabeled",
) -> CutOffList:
    """How many samples score at least that much, and the share of them whose label is wrong.

    The share is that expected by the model's probabilities, and that by reviews where enough were made.
    """
    check_signal(job, by, "query", "by")
    found = choose_cut_off(services, job, by)
    items = [CutOffView.model_validate(asdict(one)) for one in found.items]
    return CutOffList(by=by, items=items, total=len(items), basis=found.basis, why_not=found.why_not)


@router.get("/jobs/{job_id}/classes", summary="Health of each class", responses=problems(404, 409, 410))
def list_classes(job: CompletedJob, services: ServicesDependency) -> ClassHealthList:
    """For each given label, how many of its samples look wrong, and as what."""
    items = [ClassHealthView.model_validate(asdict(one)) for one in class_health(services, job)]
    return ClassHealthList(items=items, total=len(items))


@router.get(
    "/jobs/{job_id}/annotators", summary="Quality of the people who labelled", responses=problems(404, 409, 410, 422)
)
def list_annotators(
    job: CompletedJob,
    services: ServicesDependency,
    limit: Annotated[int, Query(ge=1, le=_MOST_ANNOTATORS, description="How many people at most.")] = 1_000,
) -> AnnotatorList:
    """How many labels of each person the job doubts, how far people agree, and who stands out by more than chance.

    It needs an upload that says who labelled: an export of a labelling tool, or a column that `spec.annotator` names.
    """
    found = rate_annotators(services, job)
    return AnnotatorList(
        items=[AnnotatorView.model_validate(asdict(one)) for one in found.items[:limit]],
        overall=AnnotatorNumbers.model_validate(asdict(found.overall)),
        not_known=found.not_known,
        detail=found.detail,
        total=len(found.items),
    )


@router.get(
    "/jobs/{job_id}/planted-errors",
    summary="How well signals find what was planted",
    responses=problems(404, 409, 410, 422),
)
def show_planted_errors(
    job: CompletedJob,
    services: ServicesDependency,
    signals: Annotated[
        str, Query(description=f"Names between commas, at most {_MOST_CURVES}.", max_length=1_000)
    ] = "mislabeled",
    kind: Annotated[
        str | None, Query(description="Only planted errors of this kind; those of others are left out.")
    ] = None,
) -> PlantedErrorsView:
    """Precision and recall for lists of every length, with `glitches` planted. `detection` of GET /jobs/{id}/signals has the sums."""
    names = list(dict.fromkeys(filter(None, (name.strip() for name in signals.split(",")))))
    if len(names) > _MOST_CURVES:
        raise invalid(["query", "signals"], f"at most {_MOST_CURVES} signals; these are {len(names)}")
    for name in names:
        check_signal(job, name, "query", "signals")
    found = planted_errors(services, job, names, kind)
    items = [
        DetectionCurve.model_validate({"signal": name, "points": [asdict(point) for point in points]})
        for name, points in found.curves.items()
    ]
    return PlantedErrorsView(kinds=found.kinds, items=items, total=len(items))
