"""Certificates: whether a delivery of labels is accepted, and what that rests on."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from service.actions.find import find_dataset_of_job
from service.actions.open_audit import AuditState, open_audit
from service.audit.goal import Goal, progress_of
from service.audit.measure import Answer, Measured
from service.domain.audit import AuditedLabels
from service.domain.dataset import DatasetInfo
from service.services import Services
from service.store import rankings, reviews
from service.store.jobs import Job

CertificateVerdict = Literal["accepted", "refused", "undecided"]


@dataclass(frozen=True)
class Judge:
    """Who judged drawn samples: how many, and how many of these were called wrong. Without a name it was not said who."""

    reviewer: str | None
    judged: int
    wrong: int


@dataclass(frozen=True)
class Certificate:
    """The verdict on "at most this share of the labels is wrong", and the record that it follows from.

    `digest` is the SHA-256 of the log with its models and answers: the same draws and answers give the same one.
    """

    job: Job
    dataset: DatasetInfo
    share: float
    level: float
    verdict: CertificateVerdict
    measured: Measured
    judges: list[Judge]
    seed: int
    entries: int
    digest: str
    made_at: datetime


def certify(services: Services, job: Job, of: AuditedLabels, share: float, level: float) -> Certificate:
    """Judge the labels of a completed job by the draws and reviews there are. It may be asked at any time."""
    with services.database.read() as connection:
        state = open_audit(services, connection, job, of)
        log = state.log
        drawn = log.row[log.is_drawn & (state.answers[log.row] != Answer.NONE)]
        ids = rankings.ids_by_index(connection, state.job.id, state.columns.index[drawn].tolist())
        held = reviews.latest(connection, state.job.id, ids)
    measured = state.measured(level)
    progress = progress_of(Goal("accept", share), measured)
    verdict: CertificateVerdict = "accepted" if progress.reached else "refused" if progress.refused else "undecided"
    judged, wrong = Counter[str | None](), Counter[str | None]()
    for name, row in zip(ids, drawn, strict=True):
        reviewer = held[name].reviewer if name in held else None
        judged[reviewer] += 1
        wrong[reviewer] += int(state.answers[row] == Answer.WRONG)
    return Certificate(
        job=state.job,
        dataset=find_dataset_of_job(services, state.job),
        share=share,
        level=level,
        verdict=verdict,
        measured=measured,
        judges=[Judge(name, count, wrong[name]) for name, count in judged.most_common()],
        seed=state.seed,
        entries=state.entries,
        digest=_digest(state),
        made_at=services.now(),
    )


def _digest(state: AuditState) -> str:
    log = state.log
    models = [
        [one.model.first, one.ranked_by, one.model.probability.tolist(), one.model.weight.tolist()]
        for one in state.models
    ]
    places = state.columns.index[log.row] if len(log) else np.zeros(0, np.int64)
    record = [
        state.seed,
        places.tolist(),
        log.bin.tolist(),
        log.is_drawn.tolist(),
        state.answers[log.row].tolist(),
        models,
    ]
    return hashlib.sha256(json.dumps(record, separators=(",", ":")).encode()).hexdigest()
