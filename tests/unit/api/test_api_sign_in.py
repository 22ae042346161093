"""People sign in at an OpenID provider, a real one, and get a key that expires."""

import time
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from service.actions.keys import create_key
from service.background.collect import collect
from service.domain.access import Caller, KeyRequest
from service.domain.errors import Upstream
from service.domain.sign_in import Attempt
from service.main import create_app
from service.outbound.provider import Provider
from service.services import Services
from service.settings import Settings
from tests.builders import add_finished
from tests.openid.person import sign_in_at_provider
from tests.openid.provider import knowing

OWN = {"Sec-Fetch-Site": "same-origin"}
GROUPS = {
    "operators": {"scopes": ["admin"]},
    "birds": {"project": "birds", "scopes": ["review"]},
    "keepers of birds": {"project": "birds", "scopes": ["submit"]},
}


@pytest.fixture
def settings(settings: Settings, openid_issuer: str) -> Settings:
    return knowing(settings, openid_issuer, oidc_groups=GROUPS, wrong_key_limit=3)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


def begun(client: httpx.Client, **query: str) -> str:
    """Where the service sends the browser."""
    answer = client.get("/sign-in", params=query)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def returned(client: httpx.Client, login: str = "noor", **query: str) -> httpx.Response:
    """What the service answers to a person who went through the provider's pages."""
    return client.get(sign_in_at_provider(begun(client, **query), login))


@pytest.fixture
def noor(client: httpx.Client) -> httpx.Client:
    """The client of a person who has signed in, on the page."""
    assert returned(client).status_code == 303
    client.headers.update(OWN)
    return client


def change(services: Services, **parts: object) -> None:
    for name, value in parts.items():
        object.__setattr__(services, name, value)


def later(services: Services, **time: float) -> None:
    now = services.now() + timedelta(**time)
    change(services, now=lambda: now)


def admin(services: Services) -> dict[str, str]:
    key = create_key(services, Caller(), KeyRequest.model_validate({"name": "operator", "scopes": ["admin"]}))
    return {"Authorization": f"Bearer {key.key}"}


def test_where_people_sign_in_every_request_needs_a_key_or_a_sign_in(client: httpx.Client) -> None:
    refused = client.get("/jobs")
    assert (refused.status_code, "/sign-in" in refused.json()["detail"]) == (401, True)
    nobody: dict[str, Any] = {"signed_in": False, "name": None, "project": None, "scopes": [], "offers_sign_in": True}
    assert client.get("/session").json() == nobody


def test_whoever_signs_in_comes_back_to_where_they_were_and_is_known(client: httpx.Client, settings: Settings) -> None:
    target = urlsplit(begun(client, **{"return": "/#/jobs/job_1"}))
    assert target.geturl().startswith(f"{settings.oidc_issuer}/auth?")
    asked = {name: value for name, (value,) in parse_qs(target.query).items()}
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert asked["redirect_uri"] == str(client.base_url.join("/sign-in/return"))
    back = client.get(sign_in_at_provider(target.geturl(), "noor"))
    assert (back.status_code, back.headers["Location"]) == (303, str(client.base_url.join("/#/jobs/job_1")))
    (session,) = [one for one in back.headers.get_list("set-cookie") if one.startswith("suspects-session=")]
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=28800"} <= set(session.split("; "))
    assert client.get("/jobs", headers=OWN).status_code == 200
    known = {"signed_in": True, "name": "noor@example.org", "project": "default", "scopes": ["review"]}
    assert client.get("/session", headers=OWN).json() == {**known, "offers_sign_in": True}


def test_a_sign_in_is_a_key_with_the_name_of_the_person_and_an_end(noor: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    said = [{"sample_id": "row-1", "decision": "keep", "reviewer": "somebody else"}]
    assert noor.post("/jobs/job_1/reviews", json=said).status_code == 201
    (review,) = noor.get("/jobs/job_1/reviews").json()["items"]
    assert review["reviewer"] == "noor@example.org"
    operator = admin(services)
    (key,) = [one for one in noor.get("/keys", headers=operator).json()["items"] if one["name"] == "noor@example.org"]
    assert key["expires_at"] is not None
    assert key["last_used_at"] is not None
    # An entry is written after the answer.
    wanted = {
        ("/sign-in/return", "noor@example.org", key["id"]),
        ("/jobs/job_1/reviews", "noor@example.org", key["id"]),
    }
    told: set[Any] = set()
    deadline = time.monotonic() + 30
    while not told >= wanted and time.monotonic() < deadline:
        entries = noor.get("/audit-log", headers=operator).json()["items"]
        told = {(one["path"], one["name"], one["key"]) for one in entries}
    assert told >= wanted
    assert noor.delete(f"/keys/{key['id']}", headers=operator).status_code == 204
    assert noor.get("/jobs").status_code == 401


def test_groups_decide_on_project_and_scopes(client: httpx.Client) -> None:
    for login, project, scopes in (
        ("noor", "default", ["review"]),
        ("noor@strangers", "default", ["review"]),
        ("noor@birds", "birds", ["review"]),
        ("noor@keepers of birds,birds", "birds", ["review", "submit"]),
        ("noor@birds,operators", "default", ["admin"]),
    ):
        assert returned(client, login).status_code == 303
        found = client.get("/session", headers=OWN).json()
        assert (found["project"], found["scopes"]) == (project, scopes), login
        # Who administers the installation is named as such, and nobody else.
        assert client.get("/keys", headers=OWN).status_code == (200 if "admin" in scopes else 403), login


def test_who_may_not_in_is_told_why(client: httpx.Client, services: Services) -> None:
    change(services, settings=services.settings.model_copy(update={"oidc_scopes": ()}))
    for login, said in {"noor": "no group", "nameless@birds": "`email`", "unverified@birds": "not verified"}.items():
        refused = returned(client, login)
        assert (refused.status_code, said in refused.json()["detail"]) == (403, True), login
    assert client.get("/session", headers=OWN).json()["signed_in"] is False


def test_no_other_site_reads_or_writes_with_a_sign_in(client: httpx.Client) -> None:
    assert returned(client).status_code == 303
    own = {"Origin": str(client.base_url).rstrip("/")}
    others: tuple[dict[str, str], ...] = (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", **own},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    )
    for headers in others:
        assert client.get("/jobs", headers=headers).status_code == 403, headers
        for path in ("/jobs/job_1/reviews", "/sign-out"):
            assert client.post(path, json=[], headers=headers).status_code == 403, (path, headers)
    # A browser says whence a writing request comes.
    assert client.post("/jobs/job_1/reviews", json=[]).status_code == 403
    for headers in ({"Sec-Fetch-Site": "none"}, {}, OWN, own):
        assert client.get("/jobs", headers=headers).status_code == 200, headers
    for headers in (OWN, own):
        assert client.post("/jobs/job_1/reviews", json=[], headers=headers).status_code == 404, headers


def test_who_is_given_the_answer_to_another_persons_attempt_is_not_signed_in_by_it(client: httpx.Client) -> None:
    with httpx.Client(base_url=client.base_url, trust_env=False, timeout=60) as attacker:
        link = sign_in_at_provider(begun(attacker), "attacker")
    assert client.get(link).status_code == 400  # a browser that has begun nothing
    begun(client)
    refused = client.get(link)
    assert (refused.status_code, "another sign-in" in refused.json()["detail"]) == (400, True)
    assert "suspects-session" not in client.cookies


def test_an_answer_is_good_for_one_sign_in(client: httpx.Client) -> None:
    link = sign_in_at_provider(begun(client), "noor")
    kept = client.cookies["suspects-sign-in"]
    assert client.get(link).status_code == 303
    assert client.get(link).status_code == 400
    # Not even with what the browser no longer has.
    keep(client, "suspects-sign-in", kept)
    again = client.get(link)
    assert (again.status_code, "used already" in again.json()["detail"]) == (400, True)


def attempt_of(services: Services, client: httpx.Client) -> Attempt:
    """What the browser keeps until it comes back."""
    return Attempt.model_validate_json(services.vault.open(client.cookies["suspects-sign-in"]))


def keep(client: httpx.Client, name: str, value: str) -> None:
    """Let the browser have another cookie."""
    client.cookies.set(name, value, domain=client.base_url.host)


def test_a_token_of_another_attempt_is_refused(client: httpx.Client, services: Services) -> None:
    for part, said in {"nonce": "another sign-in", "verifier": "used already"}.items():
        link = sign_in_at_provider(begun(client), "noor")
        attempt = attempt_of(services, client).model_copy(update={part: "x" * 43})
        keep(client, "suspects-sign-in", services.vault.seal(attempt.model_dump_json()))
        refused = client.get(link)
        assert (refused.status_code, said in refused.json()["detail"]) == (400, True), part


def test_an_attempt_ends_after_ten_minutes_and_cannot_be_made_up(client: httpx.Client, services: Services) -> None:
    link = sign_in_at_provider(begun(client), "noor")
    keep(client, "suspects-sign-in", "made up")
    assert client.get(link).status_code == 400
    link = sign_in_at_provider(begun(client), "noor")
    later(services, minutes=11)
    assert client.get(link).status_code == 400


def test_a_token_that_has_expired_is_refused(client: httpx.Client, services: Services) -> None:
    link = sign_in_at_provider(begun(client), "noor")
    later(services, minutes=5)
    refused = client.get(link)
    assert (refused.status_code, "expired" in refused.json()["detail"]) == (502, True)


def test_a_token_for_another_client_is_refused(client: httpx.Client, services: Services, openid_issuer: str) -> None:
    theirs = knowing(services.settings, openid_issuer, oidc_client_id="another")
    change(services, settings=theirs, provider=Provider(theirs))
    link = urlsplit(sign_in_at_provider(begun(client), "noor"))
    attempt = attempt_of(services, client)
    tokens = services.provider._tokens(attempt, parse_qs(link.query)["code"][0])
    now = services.now().timestamp()
    assert services.provider._verified(tokens, attempt.nonce, now)["sub"] == "noor"
    ours = knowing(services.settings, openid_issuer)
    with pytest.raises(Upstream, match="not for this service: aud"):
        Provider(ours)._verified(tokens, attempt.nonce, now)
    # Nor one that says of itself that it is not signed, or signed with a secret that both know.
    body = tokens["id_token"].split(".")[1]
    for head in ("eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiJ9"):
        with pytest.raises(Upstream, match="not valid"):
            services.provider._verified({**tokens, "id_token": f"{head}.{body}."}, attempt.nonce, now)


def test_a_provider_that_exchanges_its_keys_is_believed_without_a_restart(
    client: httpx.Client, openid_issuer: str
) -> None:
    assert returned(client).status_code == 303
    httpx.post(f"{openid_issuer}/rotate", trust_env=False, timeout=60)
    assert returned(client).status_code == 303


def test_a_provider_that_is_away_is_told_in_words(client: httpx.Client, services: Services) -> None:
    link = sign_in_at_provider(begun(client), "noor")
    away = services.settings.model_copy(update={"oidc_issuer": "http://127.0.0.1:1"})
    change(services, settings=away, provider=Provider(away))
    for path in ("/sign-in", link.replace("iss=", "x=")):
        refused = client.get(path)
        assert (refused.status_code, "cannot be reached" in refused.json()["detail"]) == (503, True), path
        assert int(refused.headers["Retry-After"]) > 0
    # Keys go on working.
    assert client.get("/jobs", headers=admin(services)).status_code == 200


def test_what_the_provider_refuses_is_told_in_words(client: httpx.Client) -> None:
    for answer, status, said in (
        ("error=access_denied", 403, "did not let you in"),
        ("error=temporarily_unavailable", 503, "try again"),
        ("error=invalid_scope", 502, "invalid_scope"),
        ("error=%3Cb%3E", 502, "unknown error"),
        ("code=x&iss=https://elsewhere.example", 400, "another provider"),
    ):
        state = parse_qs(urlsplit(begun(client)).query)["state"][0]
        shown = client.get(f"/sign-in/return?{answer}&state={state}", headers={"Accept": "text/html"})
        assert shown.status_code == status, answer
        assert said in shown.text
        assert "<h1>You are not signed in</h1>" in shown.text
        assert "<b>" not in shown.text
        assert "script-src 'self'" in shown.headers["Content-Security-Policy"]


def test_a_wrong_secret_or_issuer_names_the_setting(
    client: httpx.Client, services: Services, openid_issuer: str
) -> None:
    wrong = knowing(services.settings, openid_issuer, oidc_client_secret="wrong")
    change(services, provider=Provider(wrong))
    assert "SUSPECTS_OIDC_CLIENT_SECRET" in returned(client).json()["detail"]
    wrong = knowing(services.settings, f"{openid_issuer}/")
    change(services, settings=wrong, provider=Provider(wrong))
    refused = client.get("/sign-in")
    assert (refused.status_code, "SUSPECTS_OIDC_ISSUER" in refused.json()["detail"]) == (502, True)


def test_a_sign_in_leads_back_into_this_service_alone(client: httpx.Client, services: Services) -> None:
    elsewhere = ["//b.example", "https://b.example", "/\\b.example", "/\t/b.example", "b", "", f"/{'x' * 1000}"]
    for path in elsewhere:
        begun(client, **{"return": path})
        assert attempt_of(services, client).return_to == "/", path
    begun(client, **{"return": "/#/jobs?by=score&class=%C3%A9"})
    assert attempt_of(services, client).return_to == "/#/jobs?by=score&class=%C3%A9"


def test_a_signed_out_browser_is_out_whatever_it_has_kept(noor: httpx.Client) -> None:
    kept = noor.cookies["suspects-session"]
    assert noor.post("/sign-out").status_code == 204
    assert "suspects-session" not in noor.cookies
    keep(noor, "suspects-session", kept)
    refused = noor.get("/jobs")
    assert (refused.status_code, "sign in again" in refused.json()["detail"]) == (401, True)
    assert noor.post("/sign-out").status_code == 204


def test_a_sign_in_ends_and_its_key_is_collected(noor: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    now = services.now()
    change(services, now=lambda: now + timedelta(hours=9))
    # Browsers go on sending it: that locks nobody out.
    assert {noor.get("/jobs").status_code for _ in range(10)} == {401}
    assert noor.get("/session").json()["signed_in"] is False
    assert collect(services) == 0
    change(services, now=lambda: now + timedelta(hours=9 + 24))
    assert collect(services) == 1
    assert services.collected.numbers["session"] == 1
    assert noor.get("/jobs").status_code == 401


def test_a_secret_that_does_not_fit_a_sign_in_counts_as_a_wrong_key(noor: httpx.Client) -> None:
    number = noor.cookies["suspects-session"].partition(".")[0]
    keep(noor, "suspects-session", f"{number}.guessed")
    assert [noor.get("/jobs").status_code for _ in range(5)] == [401, 401, 401, 429, 429]


def test_a_cookie_is_no_key_and_a_key_is_no_cookie(noor: httpx.Client, services: Services) -> None:
    session = noor.cookies["suspects-session"]
    with httpx.Client(base_url=noor.base_url, trust_env=False, timeout=60, headers=OWN) as other:
        assert other.get("/jobs", headers={"Authorization": f"Bearer {session}"}).status_code == 401
        key = admin(services)
        assert other.get("/jobs", headers=key).status_code == 200
        other.cookies.set("suspects-session", key["Authorization"].removeprefix("Bearer "))
        assert other.get("/jobs").status_code == 401
    # A key goes before a sign-in.
    assert noor.get("/session", headers=key).json()["name"] == "operator"
    assert noor.get("/jobs", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_over_tls_the_cookies_belong_to_this_host_alone(client: httpx.Client, services: Services) -> None:
    known = services.settings.model_copy(update={"public_url": "https://suspects.example.org"})
    change(services, settings=known)
    answer = client.get("/sign-in")
    assert "redirect_uri=https%3A%2F%2Fsuspects.example.org%2Fsign-in%2Freturn" in answer.headers["Location"]
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-suspects-sign-in=")
    assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_without_a_provider_nobody_signs_in_and_no_cookie_opens(noor: httpx.Client, services: Services) -> None:
    change(services, settings=services.settings.model_copy(update={"oidc_issuer": ""}))
    assert noor.get("/sign-in").status_code == 404
    assert noor.get("/session").json()["offers_sign_in"] is False
    # What people signed in with is no key that would keep the service closed.
    assert noor.get("/jobs").status_code == 200
    admin(services)
    assert noor.get("/jobs").status_code == 401


def test_settings_that_cannot_work_are_refused_at_the_start() -> None:
    known = {"oidc_issuer": "https://login.example.org", "oidc_client_id": "suspects"}
    assert Settings.model_validate(known).oidc_issuer
    wrong: dict[str, dict[str, Any]] = {
        "https://": {"oidc_issuer": "http://login.example.org"},
        "SUSPECTS_OIDC_CLIENT_ID": {"oidc_client_id": ""},
        "oidc_scopes": {"oidc_scopes": "review,admin"},  # only a group makes an operator
        "scopes": {"oidc_groups": {"birds": {"scopes": ["everything"]}}},
        "projekt": {"oidc_groups": {"birds": {"scopes": ["read"], "projekt": "birds"}}},
    }
    for said, one in wrong.items():
        with pytest.raises(ValidationError, match=said):
            Settings.model_validate({**known, **one})
