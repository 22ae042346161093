"""Scopes of routes: what a key must be allowed to do."""

from service.domain.access import AccessScope

_READING = frozenset({"GET", "HEAD"})
# Requests that change something need `submit`, those that only ask need `read`; these need another scope.
_OTHER: dict[tuple[str, str], AccessScope] = {
    ("POST", "/jobs/estimate"): AccessScope.READ,
    ("POST", "/sign-out"): AccessScope.READ,
    ("POST", "/jobs/{job_id}/reviews"): AccessScope.REVIEW,
    ("POST", "/jobs/{job_id}/reviews/bulk"): AccessScope.REVIEW,
    ("POST", "/jobs/{job_id}/reviews/undo"): AccessScope.REVIEW,
    ("POST", "/jobs/{job_id}/audit/draws"): AccessScope.REVIEW,
    ("POST", "/jobs/{job_id}/proxies"): AccessScope.REVIEW,
    ("POST", "/jobs/{job_id}/rescore"): AccessScope.REVIEW,
    ("POST", "/jobs/{job_id}/reconcile"): AccessScope.REVIEW,
    ("POST", "/connections"): AccessScope.ADMIN,
    ("PUT", "/connections/{connection_id}/token"): AccessScope.ADMIN,
    ("POST", "/connections/{connection_id}/backend"): AccessScope.ADMIN,
    ("DELETE", "/connections/{connection_id}"): AccessScope.ADMIN,
    ("GET", "/keys"): AccessScope.ADMIN,
    ("POST", "/keys"): AccessScope.ADMIN,
    ("GET", "/keys/{key_id}"): AccessScope.ADMIN,
    ("POST", "/keys/{key_id}/rotate"): AccessScope.ADMIN,
    ("DELETE", "/keys/{key_id}"): AccessScope.ADMIN,
    ("GET", "/audit-log"): AccessScope.ADMIN,
}


def scope_of_route(method: str, path: str) -> AccessScope:
    """The scope that a key needs for a route, which `path` names as its template does: "/jobs/{job_id}"."""
    asked = "GET" if method == "HEAD" else method
    return _OTHER.get((asked, path), AccessScope.READ if method in _READING else AccessScope.SUBMIT)
