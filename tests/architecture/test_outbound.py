"""Requests that leave the service."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2] / "service"
# The command line runs on a user's machine, and goes where its user says.
ELSEWHERE = ("terminal",)
CLIENTS = {"Client": "PinnedTransport", "AsyncClient": "AsyncPinnedTransport"}
OTHERS = {"requests", "urllib.request", "urllib3", "http.client", "aiohttp"}


def unpinned(code: str) -> list[str]:
    """What in a module sends requests past the pinned transports."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names if one.name in OTHERS]
        if isinstance(node, ast.ImportFrom) and node.module in {"httpx", *OTHERS}:
            found.append(f"from {node.module}")
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("httpx."):
            name = ast.unparse(node.func).removeprefix("httpx.")
            given = " ".join(ast.unparse(one.value) for one in node.keywords if one.arg == "transport")
            if name in ("get", "post", "put", "patch", "delete", "request", "stream", "head", "options"):
                found.append(name)
            if name in CLIENTS and not given.startswith(f"{CLIENTS[name]}("):
                found.append(name)
    return found


def test_every_request_of_the_service_goes_through_a_pinned_transport() -> None:
    modules = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in ELSEWHERE]
    found = {str(path.relative_to(ROOT)): past for path in modules if (past := unpinned(path.read_text()))}
    assert found == {}


def test_a_request_past_them_is_found() -> None:
    assert unpinned("httpx.Client(timeout=1)") == ["Client"]
    assert unpinned("httpx.Client(transport=httpx.HTTPTransport())") == ["Client"]
    assert unpinned("httpx.AsyncClient(transport=PinnedTransport(rule))") == ["AsyncClient"]
    assert unpinned("httpx.get(url)") == ["get"]
    assert unpinned("import urllib.request") == ["urllib.request"]
    assert unpinned("httpx.Client(transport=PinnedTransport(rule), timeout=1)") == []
