"""Networks of clients: weights or exported programs, uploaded once, which jobs then train on."""

from collections.abc import Iterator
from pathlib import PurePosixPath

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response

from service.actions.take_network import take_network
from service.actions.upload import made_before, request_digest
from service.api.datasets import bind, in_use
from service.api.http import paging
from service.api.http.bodies import Form, FormBody, parsed
from service.api.http.dependencies import IdempotencyKey, ServicesDependency, authorize
from service.api.http.errors import problems
from service.api.http.openapi import NETWORK_BODY
from service.api.schemas.integrations import NetworkPage
from service.domain.dataset import DatasetInfo
from service.domain.errors import FieldError, NotFound, invalid_fields
from service.domain.ids import new_id
from service.domain.network import NetworkInfo, NetworkSpec
from service.domain.specs import JobSpec
from service.services import Services
from service.store import idempotency, networks

router = APIRouter(tags=["networks"], dependencies=[Depends(authorize)], responses=problems(401, 403, 503))

_KINDS = {"exported": "program", "safetensors": "state"}
_NUMBERS = ("numeric", "boolean")
_CHANNELS = (1, 3)
_LARGEST_SIDE = 1024  # pixels, as image_size of the other networks
_PARAMS: list[str | int] = ["model", "params"]
_LISTED = 20


@router.post(
    "/networks",
    status_code=201,
    summary="Upload a network",
    responses=problems(400, 413, 415, 422, 507),
    openapi_extra=NETWORK_BODY,
)
def create_network(
    body: FormBody, key: IdempotencyKey, services: ServicesDependency, response: Response
) -> NetworkInfo:
    """Weights as safetensors, for model `safetensors`, or a program of `torch.export.save`, for model `exported`.

    What it is, its content says. Pickles are refused, and nothing in the file is ever run as code. The same bytes are the
    same network.
    """
    spec = parsed(NetworkSpec, body.spec, "spec")
    asked = request_digest("POST /networks", body.digest, spec)
    network_id = made_before(services, key, asked) or bind(services, key, asked, _taken(services, body, spec).id)
    response.headers["Location"] = f"/networks/{network_id}"
    return find_network(services, network_id)


def _taken(services: Services, body: Form, spec: NetworkSpec) -> NetworkInfo:
    name = spec.name or PurePosixPath(body.filename).stem
    limit = services.settings.max_expanded_bytes
    digest = f"sha256:{body.digest}"
    return take_network(
        services.database, services.blobs, body.path, digest, name, new_id("net_"), limit, services.now()
    )


@router.get("/networks", summary="List the networks, newest first", responses=problems(400, 422))
def list_networks(
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> NetworkPage:
    """A page of every network that was uploaded."""
    before = paging.by_time(cursor, ["networks"])
    with services.database.read() as connection:
        found, total = networks.page(connection, before, limit + 1)
    items, following = paging.cut(request, response, ["networks"], found, limit)
    return NetworkPage(items=items, next=following, total=total)


@router.get("/networks/{network_id}", summary="One network", responses=problems(404))
def get_network(network_id: str, services: ServicesDependency) -> NetworkInfo:
    """What is known of it; of a program the linear layers that may be named."""
    return find_network(services, network_id)


@router.delete(
    "/networks/{network_id}",
    status_code=204,
    summary="Delete a network that no job uses",
    responses=problems(404, 409),
)
def delete_network(network_id: str, services: ServicesDependency) -> None:
    """With its file. Jobs that use it, finished ones too, are in the way: delete them first."""
    find_network(services, network_id)
    try:
        with services.database.write() as connection:
            users = networks.jobs_using(connection, network_id)
            if users:
                raise in_use(users)
            networks.remove(connection, network_id)
            idempotency.remove_of(connection, network_id)
    except sa.exc.IntegrityError as error:
        raise in_use([]) from error
    services.blobs.remove(services.blobs.network(network_id).parent)


def find_network(services: Services, network_id: str, *place: str | int) -> NetworkInfo:
    """The network. Raises NotFound, naming the place in the request."""
    with services.database.read() as connection:
        info = networks.get(connection, network_id)
    if info is None:
        msg = f"no network {network_id}"
        raise NotFound(msg, errors=[FieldError(loc=[*place], msg=msg)] if place else [])
    return info


def check_network(services: Services, spec: JobSpec, info: DatasetInfo) -> None:
    """Raise Invalid or NotFound for an uploaded network that does not fit the model that was asked for, or the dataset."""
    if spec.model.network is None:
        return
    network = find_network(services, spec.model.network, *_PARAMS, "network")
    wanted = _KINDS[spec.model.name]
    if network.kind != wanted:
        msg = f"{network.id} is a {network.kind}; model {spec.model.name} begins with a {wanted}"
        raise invalid_fields([FieldError(loc=[*_PARAMS, "network"], msg=msg)])
    found = list(_misfits(network, spec, info)) if network.kind == "program" else []
    if found:
        raise invalid_fields(found)


def _misfits(network: NetworkInfo, spec: JobSpec, info: DatasetInfo) -> Iterator[FieldError]:
    """What is wrong with an exported program for such data."""
    layer, names = spec.model.params["layer"], [one.name for one in network.layers]
    if layer is not None and names.count(layer) != 1:
        msg = f"{'is used twice in' if layer in names else 'is no linear layer of'} it; it has {', '.join(names[-_LISTED:])}"
        yield FieldError(loc=[*_PARAMS, "layer"], msg=msg)
    shape = network.input or []
    if info.modality == "image":
        sides = [size for size in shape[2:] if size is not None and size <= _LARGEST_SIDE]
        fits = len(shape) == 4 and shape[1] in _CHANNELS and len(sides) == 2 and network.input_type != "other"
        wanted = f"samples x 1 or 3 colours x height x width, of float32 or uint8, with a size that is fixed, up to {_LARGEST_SIDE},"
    else:
        fits = len(shape) == 2 and network.input_type == "float32"
        wanted = "samples x numbers, of float32"
    if not fits:
        told = " x ".join("any" if size is None else str(size) for size in shape)
        msg = f"takes {told} of {network.input_type}; for {info.modality} data {wanted} is expected"
        yield FieldError(loc=[*_PARAMS, "network"], msg=msg)
    elif info.modality == "tabular":
        yield from _unlike(info, shape[1])
    elif info.modality == "image":
        yield from _miscoloured(spec, shape[1])


def _miscoloured(spec: JobSpec, colours: int | None) -> Iterator[FieldError]:
    for name in ("pixel_mean", "pixel_deviation"):
        given = spec.model.params[name]
        if given is not None and len(given) not in (1, colours):
            msg = f"has {len(given)} numbers; the network takes {colours} colours: give 1 or {colours}"
            yield FieldError(loc=[*_PARAMS, name], msg=msg)


def _unlike(info: DatasetInfo, width: int | None) -> Iterator[FieldError]:
    strange = [f"{one.name} ({one.kind})" for one in info.features if one.kind not in _NUMBERS]
    place: list[str | int] = [*_PARAMS, "network"]
    if strange:
        msg = f"an exported program is given numbers; leave out, or encode, {', '.join(strange[:_LISTED])}"
        yield FieldError(loc=place, msg=msg)
    elif width is not None and width != len(info.features):
        yield FieldError(loc=place, msg=f"takes {width} numbers a sample, the dataset has {len(info.features)} columns")
