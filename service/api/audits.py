"""Audits: how many labels are wrong, and whether reviewing may stop."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Response

from service.actions.add_proxy import add_proxy
from service.actions.certify import certify
from service.actions.draw_samples import draw_samples
from service.actions.measure_labels import AuditQuestion, measure_labels
from service.api.http import negotiation
from service.api.http.authentication import CallerDependency, authorize
from service.api.http.bodies import JsonBody, parsed
from service.api.http.errors import problems
from service.api.http.idempotency import IdempotencyKey
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.http.openapi import DRAWS_BODY, PROXY_BODY
from service.api.schemas.audits import Audit, AuditBatchView, AuditCertificate, AuditItem, AuditProxy
from service.api.views.audits import audit_view, certificate_view, proxy_view
from service.api.views.samples import sample_cards
from service.domain.audit import GOAL_HELP, GOAL_PATTERN, AuditedLabels, DrawRequest, ProxyRequest
from service.domain.confidence import told_confidence
from service.domain.digests import canonical_digest
from service.report.certificate import html
from service.report.render import PAGE_HEADERS
from service.store.idempotency import IdempotentRequest

router = APIRouter(tags=["audits"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))

_TOPS = 20
CertificateFormat = Literal["json", "html"]
_MEDIA_TYPES: dict[CertificateFormat, str] = {"json": "application/json", "html": "text/html; charset=utf-8"}
_PAGE: dict[str, Any] = {"content": {"text/html": {"schema": {"type": "string"}}}}

Of = Annotated[
    AuditedLabels,
    Query(description="original: the labels that the chain of jobs began with. version: those that this job ranked."),
]
Level = Annotated[float, Query(ge=0.5, le=0.9999, description="Confidence of the interval and of the bounds.")]


@router.post(
    "/jobs/{job_id}/audit/draws",
    status_code=201,
    summary="Draw samples to review next",
    responses=problems(400, 404, 409, 410, 413, 415, 422),
    openapi_extra=DRAWS_BODY,
)
def create_draws(
    job: CompletedJob, body: JsonBody, key: IdempotencyKey, services: ServicesDependency, caller: CallerDependency
) -> AuditBatchView:
    """Draws are written down before anyone sees them, so that the answer of the audit holds whatever is then reviewed.

    What reviewers say goes to POST /jobs/{id}/reviews, or comes from a labelling tool. Two who draw at once get different samples. A
    sample that was handed out and not reviewed comes again: at once to the same `reviewer`, after half an hour to anyone.
    """
    request = caller.signed(parsed(DrawRequest, body.value))
    once = IdempotentRequest(key, canonical_digest(f"POST /jobs/{job.id}/audit/draws", request))
    batch = draw_samples(services, job, request, once)
    cards = sample_cards(services, batch.job, batch.rows)
    items = [
        AuditItem(
            sample_id=row["sample_id"],
            sample=card,
            given_label=row["given_label"],
            suggested_label=row["suggested_label"],
            suggested_confidence=row["suggested_confidence"],
        )
        for row, card in zip(batch.rows, cards, strict=True)
    ]
    return AuditBatchView(
        batch=batch.id, job=batch.job.id, goal=batch.goal, confidence=told_confidence(batch.job.result), items=items
    )


@router.post(
    "/jobs/{job_id}/proxies",
    status_code=201,
    summary="Let another judge share in the draws",
    responses=problems(400, 404, 409, 410, 413, 415, 422),
    openapi_extra=PROXY_BODY,
)
def create_proxy(job: CompletedJob, body: JsonBody, services: ServicesDependency) -> AuditProxy:
    """The opinions of a second annotator, another model or a language model on the labels, given before they are reviewed.

    Draws that follow are divided by them, and what they are worth is learnt from the reviews. A good judge saves reviews, a bad or
    adversarial one costs reviews, and the interval holds with either. The newest counts; earlier draws stay as they are.
    """
    return proxy_view(add_proxy(services, job, parsed(ProxyRequest, body.value)))


@router.get(
    "/jobs/{job_id}/audit",
    summary="How many labels are wrong, and may we stop",
    responses=problems(404, 409, 410, 422),
)
def get_audit(
    job: CompletedJob,
    services: ServicesDependency,
    of: Of = "original",
    level: Level = 0.95,
    goal: Annotated[
        str | None, Query(pattern=GOAL_PATTERN, description=f"{GOAL_HELP} Default: the goal of the last draws.")
    ] = None,
    by: Annotated[Literal["label", "split"] | None, Query(description="Also of each given label or split.")] = None,
    top: Annotated[
        str | None,
        Query(
            pattern=rf"^[1-9]\d{{0,8}}(,[1-9]\d{{0,8}}){{0,{_TOPS - 1}}}$",
            description=f"Also among the first ranks, as many as this: 50,200. At most {_TOPS} numbers.",
        ),
    ] = None,
    history: Annotated[bool, Query(description="Also how the interval narrowed.")] = False,
    opinions: Annotated[
        bool,
        Query(
            description="Also how often each reviewer agrees with what holds, and the samples on which people differ."
        ),
    ] = False,
    worst_case: Annotated[
        bool, Query(description="Labels of which reviewers were unsure may be wrong or right, instead of not wrong.")
    ] = False,
) -> Audit:
    """Every review counts, wherever it was given. The numbers rest on those of drawn samples: POST /jobs/{id}/audit/draws.

    It measures what your reviewers would call wrong: a reviewer who errs is measured too.
    """
    asked = AuditQuestion(
        of=of,
        level=level,
        goal=goal,
        by=by,
        top=[int(number) for number in top.split(",")] if top else [],
        history=history,
        opinions=opinions,
        worst_case=worst_case,
    )
    return audit_view(measure_labels(services, job, asked))


@router.get(
    "/jobs/{job_id}/audit/certificate",
    summary="Accept or refuse a delivery of labels",
    response_model=AuditCertificate,
    responses=problems(404, 406, 409, 410, 422) | {200: _PAGE},
)
def get_certificate(
    job: CompletedJob,
    services: ServicesDependency,
    share: Annotated[float, Query(gt=0, lt=1, description="The share of wrong labels that is accepted.")] = 0.01,
    level: Level = 0.95,
    of: Of = "original",
    name: Annotated[str | None, Query(alias="format", description="json or html; instead of Accept.")] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response | AuditCertificate:
    """What was drawn, by whom it was judged, and the verdict. It may be asked for at any time, as often as you like."""
    form = negotiation.choose(name, accept, _MEDIA_TYPES, "a certificate")
    certificate = certificate_view(certify(services, job, of, share, level))
    if form == "json":
        return certificate
    return Response(html(certificate, certificate.judges), media_type=_MEDIA_TYPES[form], headers=PAGE_HEADERS)
