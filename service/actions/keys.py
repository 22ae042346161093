"""Keys of callers: created, rotated, revoked, and recognised."""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import timedelta

from cryptography.exceptions import InvalidKey
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
from service.domain.errors import Conflict, Forbidden, NotFound, TooMany, Unauthorized, invalid
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
    request = KeyRequest(
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


def identify(services: Services, token: str | None, address: str) -> Caller | None:
    """Who sends this key; None where no key is needed, because there is none at all. `services` see every project.

    Raises Unauthorized for a missing, unknown or expired key, and TooMany after many wrong ones from the same address.
    """
    if token is None:
        if _none_needed(services):
            return None
        also = ", or sign in at /sign-in" if services.settings.oidc_issuer else ""
        raise Unauthorized(f"send a key: Authorization: Bearer <key>{also}")
    refuse_locked_out(services, address)
    # The bytes as they came. Every key is compared, each in constant time, so that the time taken tells nothing.
    sent = token.encode("latin-1")
    if sum(hmac.compare_digest(sent, key.encode()) for key in services.settings.api_keys):
        return Caller()
    found = _stored(services, token) if token.startswith(KEY_PREFIX) else None
    if found is not None and _verified(services, found, token):
        shown = found.shown
        if shown.expired(services.now()):
            raise Unauthorized(f"this key expired at {shown.expires_at:%Y-%m-%d %H:%M} UTC; ask an admin for a new one")
        _record_use(services, shown)
        return shown.caller()
    if _none_needed(services):
        return None
    services.quotas.spend_wrong_key(address)
    raise Unauthorized("this key is not known")


def identify_session(services: Services, token: str, address: str) -> KeyView:
    """The key of a sign-in that a page sends as its cookie. Raises Unauthorized and TooMany like `identify`."""
    refuse_locked_out(services, address)
    found = _stored(services, token) if token.startswith(SESSION_PREFIX) else None
    if found is not None and not _verified(services, found, token):
        services.quotas.spend_wrong_key(address)
        found = None
    # Browsers go on sending a cookie that has ended: that is no attempt to guess one.
    if found is None or found.shown.expired(services.now()):
        raise Unauthorized("this sign-in has ended; sign in again")
    _record_use(services, found.shown)
    return found.shown


def refuse_locked_out(services: Services, address: str) -> None:
    """Raise TooMany where too many wrong keys came from this address."""
    wait = services.quotas.locked_out(address)
    if wait is not None:
        raise TooMany("too many wrong keys came from this address; try again later", retry_after=wait)


def _none_needed(services: Services) -> bool:
    if services.settings.api_keys or services.settings.oidc_issuer:
        return False
    with services.database.read() as connection:
        return not keys.any_key(connection)


def _others_administer(services: Services) -> bool:
    """Whether somebody can create keys without a key that was created: by one of the settings, or signed in."""
    settings = services.settings
    signed_in = settings.oidc_issuer and any(group.is_operator for group in settings.oidc_groups.values())
    return bool(settings.api_keys or signed_in)


def _stored(services: Services, token: str) -> StoredKey | None:
    with services.database.read() as connection:
        return keys.get(connection, token.partition(".")[0])


def _record_use(services: Services, shown: KeyView) -> None:
    now = services.now()
    if not keys.use_is_recorded(shown, now):
        with services.database.write() as connection:
            keys.record_use(connection, shown.id, now)


def _verified(services: Services, found: StoredKey, token: str) -> bool:
    """Whether the secret has this hash, which takes 20 ms of work the first time that a process sees the key."""
    mark = hashlib.sha256(token.encode("latin-1")).digest()
    if services.verified_keys.get(mark) == found.hash:
        return True
    try:
        Argon2id.verify_phc_encoded(token.partition(".")[2].encode("latin-1"), found.hash)
    except InvalidKey:
        return False
    services.verified_keys.put(mark, found.hash)
    return True


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
