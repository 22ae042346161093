"""The OpenID provider at which people sign in: Authorization Code with PKCE, by Authlib over the pinned transport."""

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidClaimError, InvalidKeyIdError, JoseError, MissingClaimError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from service.domain.errors import Invalid, Malformed, Unavailable, Upstream
from service.domain.sign_in import Attempt, Claims
from service.outbound.transport import AddressRule, PinnedTransport
from service.settings import Settings

# The operator named the provider, and it may well be inside the network.
_ANY_ADDRESS = AddressRule(allow_private=True, setting="")
_STEP_S, _WHOLE_S = 5.0, 15.0
_MOST_BYTES = 2**20
_KEPT_S = 3600
_RETRY_S = 30
_CLOCKS_DIFFER_S = 60
# With the provider's private key alone: a token signed with the client's secret could come from whoever knows that.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class Provider:
    """Sends people to the provider, and reads who came back. What it says of itself is kept for an hour."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._described: tuple[float, dict[str, Any]] | None = None
        self._keys: KeySet | None = None

    def address(self, attempt: Attempt) -> str:
        """Where the browser goes to sign in. Raises Unavailable and Upstream."""
        url, _ = self._client(attempt.redirect_uri).create_authorization_url(
            self._metadata()["authorization_endpoint"],
            state=attempt.state,
            code_verifier=attempt.verifier,
            nonce=attempt.nonce,
        )
        return str(url)

    def claims(self, attempt: Attempt, code: str, now: float) -> Claims:
        """What the provider says of the person for whom it gave this code.

        Raises Malformed for a code that is of no use, Upstream for an answer that cannot be believed, and Unavailable.
        """
        tokens = self._tokens(attempt, code)
        claims = self._verified(tokens, attempt.nonce, now)
        wanted = {self._settings.oidc_name_claim, self._settings.oidc_groups_claim}
        return claims if wanted <= set(claims) else {**self._more(tokens, claims["sub"]), **claims}

    def _client(self, redirect_uri: str) -> "_Client":
        secret = self._settings.oidc_client_secret.get_secret_value()
        methods = self._metadata().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        if secret and method == "client_secret_basic":
            secret = quote(secret, safe="")  # RFC 6749, 2.3.1, which Authlib leaves to its caller
        return _Client(
            session=None,
            client_id=self._settings.oidc_client_id,
            client_secret=secret or None,
            token_endpoint_auth_method=method if secret else "none",
            scope=self._settings.oidc_request,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )

    def _tokens(self, attempt: Attempt, code: str) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = self._client(attempt.redirect_uri).fetch_token(
                self._metadata()["token_endpoint"],
                grant_type="authorization_code",
                code=code,
                code_verifier=attempt.verifier,
                redirect_uri=attempt.redirect_uri,
            )
        except OAuth2Error as error:
            if error.error == "invalid_grant":
                raise Malformed("this sign-in was used already, or took too long; sign in again") from error
            if error.error in ("invalid_client", "unauthorized_client"):
                cure = "check SUSPECTS_OIDC_CLIENT_ID and SUSPECTS_OIDC_CLIENT_SECRET"
                raise Upstream(f"the sign-in provider does not accept this service; {cure}") from error
            raise Upstream(f"the sign-in provider refuses: {error.error}") from error
        except (httpx.HTTPStatusError, ValueError) as error:
            raise Upstream("the sign-in provider gave no token") from error
        return found

    def _verified(self, tokens: Mapping[str, Any], nonce: str, now: float) -> Claims:
        """The claims of the ID token: signed by the provider, for this service, for this attempt, and not expired."""
        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise Upstream("the sign-in provider gave no ID token; SUSPECTS_OIDC_REQUEST must contain openid")
        try:
            decoded = self._decoded(token)
            expected = {
                "iss": {"essential": True, "value": self._settings.oidc_issuer},
                "aud": {"essential": True, "value": self._settings.oidc_client_id},
            }
            also = {
                "nonce": nonce,
                "client_id": self._settings.oidc_client_id,
                "access_token": tokens.get("access_token"),
            }
            claims = CodeIDToken(decoded.claims, decoded.header, expected, also)
            claims.validate(int(now), _CLOCKS_DIFFER_S)
        except (InvalidClaimError, MissingClaimError) as error:
            if error.claim == "nonce":
                raise Malformed("the provider's answer is of another sign-in; sign in again") from error
            raise Upstream(f"the sign-in provider's ID token is not for this service: {error.claim}") from error
        except (JoseError, ValueError) as error:
            raise Upstream(f"the sign-in provider's ID token is not valid: {error}") from error
        return dict(claims)

    def _decoded(self, token: str) -> jwt.Token:
        offered = self._metadata().get("id_token_signing_alg_values_supported") or ["RS256"]
        registry = JWSRegistry(algorithms=[one for one in _ALGORITHMS if one in offered], strict_check_header=False)
        try:
            return jwt.decode(token, self._key_set(), registry=registry)
        except InvalidKeyIdError:  # the provider has exchanged its keys
            self._keys = None
            return jwt.decode(token, self._key_set(), registry=registry)

    def _key_set(self) -> KeySet:
        if self._keys is None:
            self._keys = KeySet.import_key_set(_json(_asked("GET", self._metadata()["jwks_uri"])))  # type: ignore[arg-type]
        return self._keys

    def _more(self, tokens: Mapping[str, Any], subject: str) -> Claims:
        """What the provider says of the person beside the ID token; nothing where it says no more."""
        url, token = self._metadata().get("userinfo_endpoint"), tokens.get("access_token")
        if not url or not token:
            return {}
        answer = _asked("GET", url, {"Authorization": f"Bearer {token}"})
        found = _json(answer) if answer.is_success else {}
        return found if found.get("sub") == subject else {}

    def _metadata(self) -> dict[str, Any]:
        if self._described is None or time.monotonic() - self._described[0] > _KEPT_S:
            issuer = self._settings.oidc_issuer
            found = _json(_asked("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
            if found.get("issuer") != issuer:
                named = found.get("issuer")
                raise Upstream(
                    f"the sign-in provider calls itself {named}, not {issuer}; set SUSPECTS_OIDC_ISSUER to that"
                )
            for name in _ENDPOINTS:
                if urlsplit(str(found.get(name))).scheme not in {"https", urlsplit(issuer).scheme}:
                    raise Upstream(f"the sign-in provider names no {name} with https://")
            self._described, self._keys = (time.monotonic(), found), None
        return self._described[1]


class _Client(OAuth2Client):  # type: ignore[misc]  # Authlib has no types
    """Authlib's client, which sends nothing itself: the one that it has for httpx makes connections of its own."""

    def _fetch_token(  # what Authlib's own clients override
        self, url: str, body: str = "", headers: Any = None, auth: Any = None, method: str = "POST", **_more: Any
    ) -> Any:
        url, headers, body = auth.prepare(method, url, dict(headers), body)
        return self.parse_response_token(_asked(method, url, headers, body))


def _asked(method: str, url: str, headers: Mapping[str, str] | None = None, body: str | None = None) -> httpx.Response:
    """The answer to a request, of a bounded size and time; redirects are not followed. Raises Unavailable."""
    host, deadline, content = urlsplit(url).hostname, time.monotonic() + _WHOLE_S, bytearray()
    sent = {
        "Accept": "application/json",
        **(headers or {}),
        "Accept-Encoding": "identity",
        "User-Agent": "usual-suspects",
    }
    try:
        with (
            httpx.Client(transport=PinnedTransport(_ANY_ADDRESS), timeout=_STEP_S, trust_env=False) as client,
            client.stream(method, url, headers=sent, content=body) as response,
        ):
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > _MOST_BYTES:
                    raise Upstream(f"the sign-in provider {host} answered with more than {_MOST_BYTES:,} bytes")
                if time.monotonic() > deadline:
                    raise _away(host, "it is too slow")
    except Invalid as error:  # of an address
        raise _away(host, error.detail) from error
    except httpx.HTTPError as error:
        raise _away(host, str(error) or type(error).__name__) from error
    if response.is_server_error:
        raise _away(host, f"it answered {response.status_code}")
    return httpx.Response(response.status_code, content=bytes(content), request=response.request)


def _away(host: str | None, why: str) -> Unavailable:
    return Unavailable(
        f"the sign-in provider {host} cannot be reached ({why}); try again soon, or use a key", retry_after=_RETRY_S
    )


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.raise_for_status().json()
    except (httpx.HTTPStatusError, json.JSONDecodeError, UnicodeDecodeError) as error:
        host = response.request.url.host
        raise Upstream(
            f"the sign-in provider {host} answered {response.status_code} without the JSON that was asked for"
        ) from error
    return found if isinstance(found, dict) else {}
