"""Specs of requested jobs: every default filled in, and checked against what is stored here."""

from service.actions.check import check_network, check_reference, check_webhook
from service.actions.find import find_dataset
from service.actions.verified import verified
from service.domain.connection import PullSource
from service.domain.dataset import DatasetInfo
from service.domain.errors import invalid
from service.domain.resolve import resolve
from service.domain.specs import JobOptions, JobSpec, Reference
from service.services import Services


def find_stored_dataset(services: Services, dataset_id: str) -> DatasetInfo:
    """The dataset that a job is asked for. Raises NotFound, and Invalid while its samples are not there."""
    info = find_dataset(services, dataset_id, "dataset")
    if not services.blobs.canonical(info.id).exists():
        msg = "its tasks are still being pulled, or could not be; see the job that pulls them"
        raise invalid(["dataset"], msg)
    return info


def resolve_job(
    services: Services, request: JobOptions, info: DatasetInfo, source: PullSource | None = None
) -> JobSpec:
    """The spec of a job over a dataset, or over the tasks of a `source`. Raises Invalid naming the field, and NotFound."""
    spec = resolve(_with_verified(services, request, info), info)
    if source is not None:
        spec = spec.model_copy(update={"source": source})
    check_reference(services, spec, info)
    check_network(services, spec, info)
    check_webhook(services, request.webhook)
    return spec


def _with_verified(services: Services, request: JobOptions, info: DatasetInfo) -> JobOptions:
    """The request with the ids of the verified samples, where it asks for them. Raises Invalid when there are none."""
    if request.reference is None or not request.reference.verified:
        return request
    samples = verified(services, info.id)
    if not samples:
        msg = "nobody has verified a sample of this dataset yet; review some first"
        raise invalid(["reference", "verified"], msg)
    return request.model_copy(update={"reference": Reference(samples=samples)})
