"""Signing people in at an OpenID provider: whoever comes back gets a key that expires, with the scopes of their groups."""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from service.actions.identify import refuse_locked_out
from service.actions.keys import create_session
from service.domain.access import AccessScope, CreatedKey, KeyRequest
from service.domain.errors import Conflict, Forbidden, Malformed, NotFound, Unavailable, Upstream
from service.domain.sign_in import Attempt, Claims, own_path
from service.services import Services
from service.settings import GroupAccess, Settings
from service.store import keys

ATTEMPT_SECONDS = 600
_LONGEST_NAME = 100


@dataclass(frozen=True)
class SignedIn:
    """A person who came back from the provider, and where they were before."""

    key: CreatedKey
    return_to: str


def begin_sign_in(services: Services, redirect_uri: str, return_to: str) -> tuple[str, str]:
    """Where the browser goes, and what it keeps meanwhile. Raises NotFound where no provider is set, Unavailable, Upstream."""
    _require_offered(services)
    attempt = Attempt(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        redirect_uri=redirect_uri,
        return_to=own_path(return_to),
        began_at=services.now().timestamp(),
    )
    return services.provider.address(attempt), services.vault.seal(attempt.model_dump_json())


def finish_sign_in(services: Services, kept: str | None, answer: Mapping[str, str], address: str) -> SignedIn:
    """Read what the provider answered through the browser, and create the key.

    Raises Malformed for an answer that is none to this browser's own attempt, Forbidden for a person who may not in, and as
    `begin_sign_in` does.
    """
    _require_offered(services)
    refuse_locked_out(services, address)
    attempt = _attempt(services, kept)
    if not hmac.compare_digest(attempt.state.encode(), answer.get("state", "").encode()):
        raise Malformed("the provider's answer is of another sign-in; sign in again")
    if answer.get("iss", services.settings.oidc_issuer) != services.settings.oidc_issuer:
        raise Malformed("the answer is of another provider; sign in again")
    _raise_refusal(answer)
    try:
        claims = services.provider.claims(attempt, answer.get("code", ""), services.now().timestamp())
    except Malformed:
        services.quotas.spend_wrong_key(address)  # a code that the provider does not know is guessed, as a key is
        raise
    return SignedIn(create_session(services, _wanted_key(services, claims)), attempt.return_to)


def sign_out(services: Services, key_id: str) -> None:
    """Delete the key of a sign-in."""
    with services.database.write() as connection:
        keys.remove(connection, key_id)


def _require_offered(services: Services) -> None:
    if not services.settings.oidc_issuer:
        raise NotFound("this service has no sign-in; it is offered where SUSPECTS_OIDC_ISSUER is set")


def _attempt(services: Services, kept: str | None) -> Attempt:
    again = Malformed("this browser has begun no sign-in, or more than ten minutes ago; sign in again")
    try:
        attempt = Attempt.model_validate_json(services.vault.open(kept or ""))
    except (Conflict, ValueError) as error:
        raise again from error
    if services.now().timestamp() - attempt.began_at > ATTEMPT_SECONDS:
        raise again
    return attempt


def _raise_refusal(answer: Mapping[str, str]) -> None:
    error = answer.get("error")
    if error is None:
        return
    if error in (
        "access_denied",
        "consent_required",
        "login_required",
        "interaction_required",
        "account_selection_required",
    ):
        raise Forbidden("the sign-in provider did not let you in, or you said no to it")
    if error in ("temporarily_unavailable", "server_error"):
        raise Unavailable("the sign-in provider is in trouble; try again soon, or use a key", retry_after=30)
    code = error if error.isascii() and error.replace("_", "").isalnum() else "an unknown error"
    raise Upstream(f"the sign-in provider refuses: {code[:100]}; whoever runs this service must check its settings")


def _wanted_key(services: Services, claims: Claims) -> KeyRequest:
    settings = services.settings
    access = _access(settings, claims.get(settings.oidc_groups_claim))
    return KeyRequest(
        name=_name(settings, claims),
        scopes=[AccessScope(scope) for scope in access.scopes],
        project=access.project,
        expires_at=services.now() + timedelta(hours=settings.oidc_session_hours),
    )


def _name(settings: Settings, claims: Claims) -> str:
    """The person's name, which stands beside what they decide: one that the provider vouches for."""
    claim = settings.oidc_name_claim
    name = claims.get(claim)
    if not isinstance(name, str) or not (0 < len(name) <= _LONGEST_NAME and name.isprintable()):
        raise Forbidden(
            f"the sign-in provider says no `{claim}` of you; whoever runs this service must let it, or name another claim in "
            "SUSPECTS_OIDC_NAME_CLAIM"
        )
    if claim == "email" and claims.get("email_verified", True) is False:
        raise Forbidden(
            "the sign-in provider has not verified your e-mail address; verify it there, then sign in again"
        )
    return name


def _access(settings: Settings, groups: object) -> GroupAccess:
    """What a person of these groups may do: in the project of the first that is set, what all of its groups there may."""
    own = {groups} if isinstance(groups, str) else set(_texts(groups))
    theirs = [access for group, access in settings.oidc_groups.items() if group in own]
    if theirs:
        project = theirs[0].project
        scopes = {scope for access in theirs if access.project == project for scope in access.scopes}
        return GroupAccess(project=project, scopes=tuple(sorted(scopes)))
    if not settings.oidc_scopes:
        raise Forbidden("you are in no group that may use this service; ask whoever runs it")
    return GroupAccess(project=settings.oidc_project, scopes=settings.oidc_scopes)


def _texts(groups: object) -> Sequence[str]:
    return [one for one in groups if isinstance(one, str)] if isinstance(groups, list) else []
