"""Uploaded networks: weights or exported programs."""

from functools import partial
from pathlib import PurePosixPath

from fastapi import APIRouter, Depends, Request, Response

from service.actions.delete import delete_unused_network
from service.actions.find import find_network
from service.actions.once import make_once
from service.actions.take_network import take_network
from service.api.http import paging
from service.api.http.authentication import authorize
from service.api.http.bodies import FormBody, parsed
from service.api.http.errors import problems
from service.api.http.idempotency import IdempotencyKey
from service.api.http.lookup import ServicesDependency
from service.api.http.openapi import NETWORK_BODY
from service.api.http.wanted import check_wanted
from service.api.schemas.integrations import NetworkPage
from service.domain.digests import canonical_digest
from service.domain.network import NetworkInfo, NetworkSpec
from service.store import networks
from service.store.idempotency import IdempotentRequest

router = APIRouter(tags=["networks"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))


@router.post(
    "/networks",
    status_code=201,
    summary="Upload a network",
    responses=problems(400, 413, 415, 422, 429, 507),
    openapi_extra=NETWORK_BODY,
)
def create_network(
    body: FormBody, key: IdempotencyKey, services: ServicesDependency, request: Request, response: Response
) -> NetworkInfo:
    """The file has weights as safetensors, for model `safetensors`, or a program of `torch.export.save`, for model `exported`.

    Its kind is recognised by content. Pickles are refused, and nothing in the file is run as code. The same bytes are the
    same network. It is read as datasets are, in a process of its own with limits of memory and time (413).
    """
    spec = parsed(NetworkSpec, body.spec, "spec")
    once = IdempotentRequest(key, canonical_digest("POST /networks", body.file.digest, spec))
    name = spec.name or PurePosixPath(body.file.name).stem
    check = partial(check_wanted, request)
    network_id = make_once(services, once, lambda: take_network(services, body.file, name, check).id)
    response.headers["Location"] = f"/networks/{network_id}"
    return find_network(services, network_id)


@router.get("/networks", summary="List the networks, newest first", responses=problems(400, 422))
def list_networks(
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
) -> NetworkPage:
    """One page of all uploaded networks."""
    before = paging.by_time(cursor, ["networks"])
    with services.database.read() as connection:
        found, total = networks.page(connection, before, limit + 1)
    items, following = paging.cut(request, response, ["networks"], found, limit)
    return NetworkPage(items=items, next=following, total=total)


@router.get("/networks/{network_id}", summary="One network", responses=problems(404))
def get_network(network_id: str, services: ServicesDependency) -> NetworkInfo:
    """For a program, `layers` lists the linear layers that `model.params.layer` may name."""
    return find_network(services, network_id)


@router.delete(
    "/networks/{network_id}",
    status_code=204,
    summary="Delete a network that no job uses",
    responses=problems(404, 409),
)
def delete_network(network_id: str, services: ServicesDependency) -> None:
    """Its file is deleted too. While jobs use it, finished ones included, the answer is 409: delete them first."""
    delete_unused_network(services, network_id)
