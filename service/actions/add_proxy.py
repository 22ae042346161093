"""Proxies of an audit: the opinions of a second annotator, another model or a language model, which share in the draws."""

import numpy as np
import sqlalchemy as sa

from service.actions.find import find_dataset_of_job
from service.actions.open_audit import open_audit
from service.domain.audit import ProxyRequest
from service.domain.errors import Conflict, FieldError, invalid_fields
from service.services import Services
from service.store import proxies
from service.store.jobs import Job
from service.store.proxies import StoredProxy

_LISTED = 20
_DOUBTFUL, _WRONG = 0.2, 0.5  # probabilities of a wrong label from which on an opinion is another one


def add_proxy(services: Services, job: Job, request: ProxyRequest) -> StoredProxy:
    """Have the opinions share in the draws from now on. Raises Invalid for samples and classes that are not there, and Conflict."""
    with services.database.read() as connection:
        state = open_audit(services, connection, job, request.of)
        said = request.labels if request.labels is not None else request.wrong or {}
        index = proxies.index_of(connection, state.job.id, list(said))
    classes = find_dataset_of_job(services, state.job).classes
    _check(request, index, classes)
    columns = state.columns
    opinions = np.full(len(columns), proxies.SILENT, np.int8)
    rows = columns.rows_at([index[name] for name in said])
    if request.labels is not None:
        given = np.array(columns.labels, dtype=object)[columns.given[rows]]
        told = np.array(list(request.labels.values()), dtype=object)
        opinions[rows] = np.where(given == told, proxies.RIGHT, proxies.WRONG)
    else:
        share = np.array(list((request.wrong or {}).values()), float)
        opinions[rows] = np.select(
            [share > _WRONG, share > _DOUBTFUL], [proxies.WRONG, proxies.DOUBTFUL], proxies.RIGHT
        )
    try:
        with services.database.write() as connection:
            return proxies.add(connection, state.job.id, request.name, opinions, services.now())
    except sa.exc.IntegrityError as error:
        raise Conflict("the job was deleted in the meantime", members={"state": "deleted"}) from error


def counts_of(proxy: StoredProxy) -> tuple[int, int, int, int]:
    """How many labels it calls right, doubtful and wrong, and says nothing of."""
    right, doubtful, wrong, silent = np.bincount(proxy.opinions, minlength=proxies.OPINIONS).tolist()
    return right, doubtful, wrong, silent


def _check(request: ProxyRequest, index: dict[str, int], classes: list[str]) -> None:
    said = request.labels if request.labels is not None else request.wrong or {}
    field = "labels" if request.labels is not None else "wrong"
    found = [
        FieldError(loc=[field, name], msg=f"no ranked sample {name!r} in this job")
        for name in said
        if name not in index
    ]
    if request.labels is not None:
        known = ", ".join(classes[:_LISTED])
        found += [
            FieldError(loc=[field, name], msg=f"no class {label!r}; one of {known}")
            for name, label in request.labels.items()
            if label not in classes
        ]
    if found:
        more = len(found) - _LISTED
        raise invalid_fields(
            [*found[:_LISTED], *([FieldError(loc=[field], msg=f"and {more} more faults")] if more > 0 else [])]
        )
