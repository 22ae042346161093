"""Signing in and out on the page. The two addresses that the browser itself goes to are no part of the API."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import escape

from service.actions.identify import identify_session
from service.actions.sign_in import ATTEMPT_SECONDS, begin_sign_in, finish_sign_in, sign_out
from service.api.http.authentication import authorized
from service.api.http.client_address import client_address
from service.api.http.errors import problem_response, problems
from service.api.http.lookup import ServicesDependency
from service.api.http.query_parameters import check_query
from service.api.http.session_cookie import (
    ATTEMPT,
    SESSION,
    delete_cookie,
    public_url,
    read_cookie,
    require_own_page,
    set_cookie,
)
from service.api.http.static import PAGE_HEADERS
from service.api.schemas.sign_in import SessionView
from service.domain.access import Caller
from service.domain.errors import SuspectsError, Unauthorized

router = APIRouter(tags=["keys"])

_RETURN = "/sign-in/return"
_SEE_OTHER = 303
_FAILED = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>Sign-in · Usual Suspects</title><h1>You are not signed in</h1><p>{why}</p>
<p><a href="/sign-in">Sign in again</a>, or <a href="/">go to the page</a>.</p>
"""


@router.get("/sign-in", include_in_schema=False)
def begin(
    request: Request,
    services: ServicesDependency,
    return_to: Annotated[str, Query(alias="return", description="A path of this service.")] = "/",
) -> Response:
    """Send the browser to the provider."""
    try:
        target, kept = begin_sign_in(services, f"{public_url(request)}{_RETURN}", return_to)
    except SuspectsError as error:
        return _failed(request, error)
    response = RedirectResponse(target, _SEE_OTHER)
    set_cookie(request, response, ATTEMPT, kept, ATTEMPT_SECONDS)
    return response


@router.get(_RETURN, include_in_schema=False)
def finish(request: Request, services: ServicesDependency) -> Response:
    """Take back whom the provider sends, and give the browser a key that expires."""
    request.state.is_logged = True
    try:
        found = finish_sign_in(
            services, read_cookie(request, ATTEMPT), request.query_params, client_address(request.scope)
        )
    except SuspectsError as error:
        response = _failed(request, error)
    else:
        request.state.caller = found.key.caller()
        response = RedirectResponse(f"{public_url(request)}{found.return_to}", _SEE_OTHER)
        hours = services.settings.oidc_session_hours
        set_cookie(request, response, SESSION, found.key.key, round(hours * 3600))
    # Whatever came of it, what was begun is over.
    delete_cookie(request, response, ATTEMPT)
    return response


@router.post("/sign-out", status_code=204, summary="Sign out", responses=problems(403, 422))
def end(request: Request, services: ServicesDependency, response: Response) -> None:
    """For the page: it ends the session of the person who signed in. A key is revoked with `DELETE /keys/{id}`."""
    require_own_page(request)
    check_query(request)
    token = read_cookie(request, SESSION)
    if token is None:
        return
    try:
        found = identify_session(services, token, client_address(request.scope))
    except Unauthorized:  # it has ended by itself
        pass
    else:
        request.state.caller = found.caller()
        sign_out(services, found.id)
    delete_cookie(request, response, SESSION)


@router.get("/session", summary="Who is asking", responses=problems(403, 422, 503))
async def get_session(request: Request, services: ServicesDependency) -> SessionView:
    """Open to all: the page asks whether somebody has signed in, and whether that is offered at all."""
    caller: Caller | None
    try:
        caller = await authorized(request, lambda: request.state.caller)
    except Unauthorized:
        caller = None
    check_query(request)
    return SessionView(
        signed_in=caller is not None and caller.has_signed_in,
        name=None if caller is None else caller.name,
        project=None if caller is None else caller.project,
        scopes=[] if caller is None else sorted(caller.scopes),
        offers_sign_in=bool(services.settings.oidc_issuer),
    )


def _failed(request: Request, error: SuspectsError) -> Response:
    """The error as a page for people, or as a problem."""
    problem = problem_response(error)
    if "text/html" not in request.headers.get("accept", ""):
        return problem
    headers = {**PAGE_HEADERS, "Cache-Control": "no-store"}
    return HTMLResponse(
        _FAILED.format(why=escape(error.detail[:1].upper() + error.detail[1:] + ".")), problem.status_code, headers
    )
