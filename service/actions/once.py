"""Creating requests that are sent twice: the second gets what the first made."""

from collections.abc import Callable

import sqlalchemy as sa

from service.services import Services
from service.store.create import create_or_adopt
from service.store.idempotency import IdempotentRequest


def made_before(services: Services, request: IdempotentRequest) -> str | None:
    """Id of what an earlier request with this key made. Raises Invalid when that asked for something else."""
    if request.key is None:
        return None
    with services.database.read() as connection:
        return request.find(connection)


def create_once(
    services: Services, request: IdempotentRequest, resource_id: str, write: Callable[[sa.Connection], object]
) -> str:
    """Do what `write` does and bind the key to the resource, in one transaction; gives the id of the resource.

    The id is another's, and nothing is written, when a request with this key was quicker. Raises IntegrityError when
    it is something else that is in the way, and Invalid as made_before.
    """

    def create(connection: sa.Connection) -> str:
        write(connection)
        request.add(connection, resource_id, services.now())
        return resource_id

    return create_or_adopt(services.database, create, request.find)


def make_once(services: Services, request: IdempotentRequest, make: Callable[[], str]) -> str:
    """Id of what `make` makes, or of what an earlier request with this key made.

    For what is the same whoever makes it, so that making it twice does no harm: the key is bound afterwards.
    """
    if request.key is None:
        return make()
    return made_before(services, request) or create_once(services, request, make(), lambda _: None)
