"""The OpenID provider at which people sign in: Authorization Code with PKCE, by Authlib over the pinned transport.

Authlib and joserfc are imported where somebody signs in: most installations have keys alone, and the service starts sooner.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx

from service.domain.errors import Malformed, Upstream
from service.domain.sign_in import Attempt, Claims
from service.outbound.provider_answers import asked, json_of
from service.settings import Settings

if TYPE_CHECKING:
    from joserfc.jwk import KeySet
    from joserfc.jwt import Token

    from service.outbound.oauth_client import OAuthClient

_KEPT_S = 3600
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

    def _client(self, redirect_uri: str) -> "OAuthClient":
        from service.outbound.oauth_client import OAuthClient

        secret = self._settings.oidc_client_secret.get_secret_value()
        methods = self._metadata().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        if secret and method == "client_secret_basic":
            secret = quote(secret, safe="")  # RFC 6749, 2.3.1, which Authlib leaves to its caller
        return OAuthClient(
            session=None,
            client_id=self._settings.oidc_client_id,
            client_secret=secret or None,
            token_endpoint_auth_method=method if secret else "none",
            scope=self._settings.oidc_request,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )

    def _tokens(self, attempt: Attempt, code: str) -> Mapping[str, Any]:
        from authlib.oauth2.base import OAuth2Error

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
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import InvalidClaimError, JoseError, MissingClaimError

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

    def _decoded(self, token: str) -> "Token":
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError
        from joserfc.jws import JWSRegistry

        offered = self._metadata().get("id_token_signing_alg_values_supported") or ["RS256"]
        registry = JWSRegistry(algorithms=[one for one in _ALGORITHMS if one in offered], strict_check_header=False)
        try:
            return jwt.decode(token, self._key_set(), registry=registry)
        except InvalidKeyIdError:  # the provider has exchanged its keys
            self._keys = None
            return jwt.decode(token, self._key_set(), registry=registry)

    def _key_set(self) -> "KeySet":
        from joserfc.jwk import KeySet

        if self._keys is None:
            self._keys = KeySet.import_key_set(json_of(asked("GET", self._metadata()["jwks_uri"])))  # type: ignore[arg-type]  # joserfc checks the form
        return self._keys

    def _more(self, tokens: Mapping[str, Any], subject: str) -> Claims:
        """What the provider says of the person beside the ID token; nothing where it says no more."""
        url, token = self._metadata().get("userinfo_endpoint"), tokens.get("access_token")
        if not url or not token:
            return {}
        answer = asked("GET", url, {"Authorization": f"Bearer {token}"})
        found = json_of(answer) if answer.is_success else {}
        return found if found.get("sub") == subject else {}

    def _metadata(self) -> dict[str, Any]:
        if self._described is None or time.monotonic() - self._described[0] > _KEPT_S:
            issuer = self._settings.oidc_issuer
            found = json_of(asked("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
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
