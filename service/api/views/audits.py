"""Views of audits."""

from dataclasses import asdict
from typing import Any

from service.actions.add_proxy import counts_of
from service.actions.certify import Certificate
from service.actions.measure_labels import AuditAnswer
from service.api.schemas.audits import (
    Audit,
    AuditCertificate,
    AuditMoment,
    AuditProxy,
    AuditStop,
    CertificateJudge,
    DisputedSample,
    LabelAudit,
    RankBandProbability,
    RemainingCount,
    ReviewedCount,
    ReviewerShare,
    SplitAudit,
    TopAudit,
    WrongCount,
)
from service.audit.measure import Measured
from service.store.proxies import StoredProxy


def audit_view(answer: AuditAnswer) -> Audit:
    """The answer of an audit as the API gives it."""
    return Audit(
        **_counts(answer.measured),
        job=answer.job.id,
        level=answer.level,
        waiting=answer.waiting,
        stop=AuditStop(
            goal=answer.goal.text,
            reached=answer.progress.reached,
            refused=answer.progress.refused,
            expected_more_reviews=answer.expected_more_reviews,
        ),
        next_50_expected=answer.next_expected,
        by_rank=[
            RankBandProbability(
                first=one.first, last=one.last, reviewed=one.reviewed, wrong=one.wrong, probability=one.probability
            )
            for one in answer.bands
        ],
        precision_at=[
            TopAudit(**_counts(one.measured), top=one.top, precision=_precision(one.measured)) for one in answer.tops
        ],
        labels=[LabelAudit(**_counts(one.measured), label=one.name) for one in answer.labels],
        splits=[SplitAudit(**_counts(one.measured), split=one.name) for one in answer.splits],
        history=[
            AuditMoment(drawn=one.drawn, found=one.measured.found, wrong=_wrong(one.measured)) for one in answer.history
        ],
        confirm=answer.confirm,
        unconfirmed=answer.unconfirmed,
        reviewers=[ReviewerShare.model_validate(asdict(one)) for one in answer.opinions.reviewers],
        disputed=[
            DisputedSample(sample_id=one.sample_id, said=one.said, holds=one.holds) for one in answer.opinions.disputed
        ],
        proxy=None if answer.proxy is None else proxy_view(answer.proxy),
        means=_means(answer),
    )


def proxy_view(proxy: StoredProxy) -> AuditProxy:
    """A proxy as the API gives it."""
    right, doubtful, wrong, silent = counts_of(proxy)
    return AuditProxy(
        number=proxy.number,
        name=proxy.name,
        calls_right=right,
        doubts=doubtful,
        calls_wrong=wrong,
        says_nothing=silent,
        created_at=proxy.created_at,
    )


def certificate_view(certificate: Certificate) -> AuditCertificate:
    """A certificate as the API gives it."""
    return AuditCertificate(
        **_counts(certificate.measured),
        verdict=certificate.verdict,
        share=certificate.share,
        level=certificate.level,
        job=certificate.job.id,
        dataset=certificate.dataset.id,
        dataset_name=certificate.dataset.name,
        dataset_digest=certificate.dataset.digest,
        judges=[
            CertificateJudge(reviewer=one.reviewer, judged=one.judged, wrong=one.wrong) for one in certificate.judges
        ],
        seed=certificate.seed,
        entries=certificate.entries,
        log_digest=certificate.digest,
        made_at=certificate.made_at,
    )


def _counts(measured: Measured) -> dict[str, Any]:
    left, at_most = measured.left, measured.remaining_at_most
    return {
        "samples": measured.samples,
        "wrong": _wrong(measured),
        "found": measured.found,
        "unsure": measured.unsure,
        "plausible": measured.plausible,
        "reviewed": ReviewedCount(drawn=measured.drawn, other=measured.reviewed - measured.drawn),
        "remaining": RemainingCount(at_most=at_most, rate=at_most / left if left else 0.0),
        "recall_at_least": measured.recall_at_least,
    }


def _wrong(measured: Measured) -> WrongCount:
    return WrongCount(estimate=measured.estimate, low=measured.low, high=measured.high, at_most=measured.at_most)


def _precision(measured: Measured) -> float | None:
    return None if measured.estimate is None or not measured.samples else measured.estimate / measured.samples


def _means(answer: AuditAnswer) -> str:
    measured, level = answer.measured, f"{100 * answer.level:g} %"
    if measured.estimate is None:
        return (
            f"{measured.found:,} labels were called wrong by your reviewers. How many are wrong in all is not measured yet: no drawn sample "
            "was reviewed."
        )
    return (
        f"{measured.found:,} of {measured.samples:,} labels were called wrong by your reviewers; in all they would call between "
        f"{measured.low:,} and {measured.high:,} wrong ({level} confidence, however often you look)."
    )
