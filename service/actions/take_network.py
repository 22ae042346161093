"""From the bytes of an uploaded network to a stored one."""

import shutil
from collections.abc import Callable

from service.actions.upload import UploadedFile
from service.domain.ids import new_id
from service.domain.network import NetworkInfo
from service.services import Services
from service.store import networks
from service.store.create import create_with_files


def take_network(services: Services, file: UploadedFile, name: str, check: Callable[[], None]) -> NetworkInfo:
    """The network in a file, which is moved away, unless the same bytes were taken before.

    `check` is called a few times a second while it is read, and may raise to end that. Raises what IngestProcesses raises, and
    StorageFull.
    """
    digest, network_id = f"sha256:{file.digest}", new_id("net_")
    with services.database.read() as connection:
        known = networks.by_digest(connection, digest)
    if known is not None:
        return known
    place = services.blobs.network(network_id)

    def make() -> NetworkInfo:
        content = services.ingests.network_content(file.path, services.settings.max_expanded_bytes, check)
        size = file.path.stat().st_size
        place.parent.mkdir(parents=True)
        shutil.move(file.path, place)
        return NetworkInfo(id=network_id, name=name, digest=digest, bytes=size, created_at=services.now(), **content)

    return create_with_files(services.database, services.blobs, place.parent, make, networks.add, networks.by_digest)
