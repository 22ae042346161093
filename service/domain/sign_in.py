"""Sign-in of people at an OpenID provider."""

import re
from typing import Any

from service.domain.dataset import Frozen

# A path of this service: a second slash would begin a host, a backslash and a tab are slashes or nothing to browsers.
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_LONGEST_PATH = 1000  # it is kept in a cookie

Claims = dict[str, Any]


class Attempt(Frozen):
    """A sign-in that has begun. Its browser keeps it, encrypted, until the provider sends the person back."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    return_to: str
    began_at: float


def own_path(path: str) -> str:
    """The path, if it can only lead into this service; else that of the page."""
    return path if len(path) <= _LONGEST_PATH and _OWN_PATH.fullmatch(path) else "/"
