"""An agent of tests: the client of the official SDK of the Model Context Protocol, over any of its transports."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import CallToolResult, Tool

SUSPECTS = str(Path(sys.executable).with_name("suspects"))


class Refused(Exception):
    """A tool answered with an error; the text is what an agent reads."""


@dataclass(frozen=True)
class Agent:
    """A connected client, whose calls wait for their answer."""

    client: Client
    portal: BlockingPortal

    @property
    def tools(self) -> dict[str, Tool]:
        """The tools by name."""
        return {one.name: one for one in self.portal.call(self.client.list_tools).tools}

    def result(self, tool: str, **arguments: Any) -> CallToolResult:
        """The whole answer of a tool. Raises Refused."""
        answer = self.portal.call(partial(self.client.call_tool, tool, arguments))
        assert isinstance(answer, CallToolResult)
        if answer.is_error:
            raise Refused("\n".join(one.text for one in answer.content if one.type == "text"))
        return answer

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The fields of an answer. Its text says the same as JSON. Raises Refused."""
        answer = self.result(tool, **arguments)
        fields: dict[str, Any] = answer.structured_content
        first = answer.content[0]
        assert first.type == "text"
        assert _same(json.loads(first.text), fields), first.text
        return fields


@contextmanager
def connected(transport: Any) -> Iterator[Agent]:
    """An agent over a transport of the SDK, or beside a server in this process."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Client(transport)) as client:
        yield Agent(client, portal)


@contextmanager
def over_stdio(url: str, **environment: str) -> Iterator[Agent]:
    """An agent that started `suspects mcp` as its clients do, for the service at `url`."""
    settings = {"SUSPECTS_URL": url, "PYTHONPATH": str(Path(__file__).parents[1]), **environment}
    with connected(stdio_client(StdioServerParameters(command=SUSPECTS, args=["mcp"], env=settings))) as agent:
        yield agent


def _same(text: Any, fields: Any) -> bool:
    """Whether a text says what the fields say. It may leave out fields that are null."""
    match text, fields:
        case dict(), dict():
            return set(text) <= set(fields) and all(_same(text.get(name), one) for name, one in fields.items())
        case list(), list():
            return len(text) == len(fields) and all(map(_same, text, fields))
        case _:
            return bool(text == fields)
