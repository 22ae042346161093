"""Who a request comes from: the caller of a key, or a person who signed in."""

import hashlib
import hmac

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from service.domain.access import KEY_PREFIX, SESSION_PREFIX, Caller, KeyView
from service.domain.errors import TooMany, Unauthorized
from service.services import Services
from service.store import keys
from service.store.keys import StoredKey


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
    place = _place_in_settings(services, token)
    if place is not None:
        return Caller(logged_as=f"settings key {place}")
    shown = _shown(services, token, KEY_PREFIX)
    if shown is not None:
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


def remains_known(services: Services, token: str | None) -> bool:
    """Whether a key or a sign-in that was let in still would be; for None, whether no key is needed still."""
    if token is None:
        return _none_needed(services)
    if _place_in_settings(services, token) is not None:
        return True
    shown = _shown(services, token, KEY_PREFIX) or _shown(services, token, SESSION_PREFIX)
    return _none_needed(services) if shown is None else not shown.expired(services.now())


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


def _place_in_settings(services: Services, token: str) -> int | None:
    """Which of the keys of the settings this is, counted from 1; None where it is none of them."""
    # The bytes as they came. Every key is compared, each in constant time, so that the time taken tells nothing.
    sent = token.encode("latin-1")
    same = [hmac.compare_digest(sent, key.encode()) for key in services.settings.api_keys]
    return same.index(True) + 1 if any(same) else None


def _shown(services: Services, token: str, prefix: str) -> KeyView | None:
    """The key or sign-in with this secret, expired or not; None where there is none."""
    found = _stored(services, token) if token.startswith(prefix) else None
    return found.shown if found is not None and _verified(services, found, token) else None


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
