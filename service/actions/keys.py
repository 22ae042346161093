"""Keys of callers: created, rotated and revoked."""

import os
import secrets
from dataclasses import dataclass
from datetime import timedelta

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from service.domain.access import (
    DEFAULT_PROJECT,
    KEY_PREFIX,
    SESSION_PREFIX,
    AccessScope,
    Caller,
    CreatedKey,
    KeyRequest,
    KeyView,
)
from service.domain.errors import Conflict, Forbidden, NotFound, invalid
from service.domain.ids import new_id
from service.services import Services
from service.store import keys
from service.store.keys import StoredKey

_SALT_BYTES, _HASH_BYTES = 16, 32
_ITERATIONS, _LANES, _MEMORY_KIB = 2, 1, 19 * 1024  # what OWASP recommends for Argon2id


def create_key(services: Services, caller: Caller, request: KeyRequest) -> CreatedKey:
    """Create a key. Only an operator may create keys of other projects.

    Raises Forbidden, and Invalid for a first key that could not administer: nobody could create another one.
    """
    if request.project != caller.project and not caller.is_operator:
        raise Forbidden(f"this key creates keys of its own project alone: {caller.project}")
    with services.database.read() as connection:
        first = not _others_administer(services) and not keys.any_key(connection)
    if first and not (request.project == DEFAULT_PROJECT and AccessScope.ADMIN in request.scopes):
        msg = "the first key needs the scope admin in the project default: from then on every request needs a key"
        raise invalid(["scopes"], msg)
    if request.expires_at is not None and request.expires_at <= services.now():
        raise invalid(["expires_at"], "must be in the future")
    return _store(services, _made(services, request, caller.key))


def create_session(services: Services, request: KeyRequest) -> CreatedKey:
    """Create the key of a sign-in, which the page of the person holds as a cookie."""
    return _store(services, _made(services, request, None, SESSION_PREFIX))


def rotate_key(services: Services, caller: Caller, key_id: str, grace: timedelta) -> CreatedKey:
    """Create a key like this one, which itself expires after `grace`. Raises NotFound, and Conflict for an expired key."""
    found, now = find_key(services, caller, key_id), services.now()
    if found.expired(now):
        raise Conflict("the key has expired; create a new one", members={"state": "expired"})
    # Not validated: a key of an earlier version may have a name that is refused now.
    request = KeyRequest.model_construct(
        name=found.name, scopes=found.scopes, project=found.project, expires_at=found.expires_at, quota=found.quota
    )
    created = _made(services, request, caller.key)
    with services.database.write() as connection:
        keys.add(connection, created.stored)
        keys.expire(connection, key_id, now + grace)
    return created.told


def revoke_key(services: Services, caller: Caller, key_id: str) -> None:
    """Delete a key, which is refused from now on. Raises NotFound, and Conflict where nobody could create keys afterwards."""
    find_key(services, caller, key_id)
    with services.database.write() as connection:
        needed = not _others_administer(services) and not key_id.startswith(SESSION_PREFIX)
        if needed and keys.others_without_admin(connection, key_id, services.now()):
            msg = "this is the last key with which keys can be created; create another admin key of the project default first"
            raise Conflict(msg, members={"state": "last_admin"})
        keys.remove(connection, key_id)


def find_key(services: Services, caller: Caller, key_id: str) -> KeyView:
    """A key that the caller may administer. Raises NotFound."""
    with services.database.read() as connection:
        found = keys.get(connection, key_id)
    if found is None or not (caller.is_operator or found.shown.project == caller.project):
        raise NotFound(f"no key {key_id}")
    return found.shown


def _others_administer(services: Services) -> bool:
    """Whether somebody can create keys without a key that was created: by one of the settings, or signed in."""
    settings = services.settings
    signed_in = settings.oidc_issuer and any(group.is_operator for group in settings.oidc_groups.values())
    return bool(settings.api_keys or signed_in)


@dataclass(frozen=True)
class _NewKey:
    """A key that is not stored yet: what is stored of it, and what its owner is told, once."""

    stored: StoredKey
    told: CreatedKey


def _made(services: Services, request: KeyRequest, created_by: str | None, prefix: str = KEY_PREFIX) -> _NewKey:
    secret = secrets.token_urlsafe(32)
    kdf = Argon2id(
        salt=os.urandom(_SALT_BYTES), length=_HASH_BYTES, iterations=_ITERATIONS, lanes=_LANES, memory_cost=_MEMORY_KIB
    )
    shown = KeyView(
        id=new_id(prefix),
        name=request.name,
        scopes=request.scopes,
        project=request.project,
        quota=request.quota,
        created_at=services.now(),
        created_by=created_by,
        expires_at=request.expires_at,
        last_used_at=None,
    )
    stored = StoredKey(shown, kdf.derive_phc_encoded(secret.encode()))
    return _NewKey(stored, CreatedKey(**shown.model_dump(), key=f"{shown.id}.{secret}"))


def _store(services: Services, created: _NewKey) -> CreatedKey:
    with services.database.write() as connection:
        keys.add(connection, created.stored)
    return created.told
