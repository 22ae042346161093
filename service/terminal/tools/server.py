"""Server of the Model Context Protocol: the tools, over stdio or streamable HTTP."""

import base64
import hmac
import inspect
import signal
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import anyio
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, ImageContent, TextContent
from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from service.terminal.console import problem_lines
from service.terminal.tools.answer import ToolAnswer
from service.terminal.tools.verbs import VERBS, Verb
from usual_suspects.client import ApiError, Client

HOST = "127.0.0.1"
PATH = "/mcp"

_INSTRUCTIONS = """Usual Suspects finds wrong labels in a training set. From a file to a corrected file:
1. `submit` the file; 2. `wait` until the job is completed, and read its warnings; 3. `suspects`, most suspicious first; `sample` gives the
evidence in words, `images` shows pictures; 4. `review` what you have looked at: relabel, keep, remove, plausible or unsure; 5. `corrected` writes the file
with corrected labels. `groups` finds mistakes that were made many times alike, `rerun` and `diff` show what the corrections changed.
Higher scores are more suspicious. A suggestion is a guess: decide by the sample itself. Lists have pages: pass `next` as `cursor`."""


def make_server(client: Client) -> MCPServer[Any]:
    """The server, whose tools speak with the service through `client`, with the rights of its key."""
    return MCPServer(
        "usual-suspects",
        title="Usual Suspects",
        description="Which samples of a training set are wrong.",
        instructions=_INSTRUCTIONS,
        version=version("usual-suspects"),
        tools=[_tool(verb, client) for verb in VERBS],
        log_level="WARNING",
    )


def serve_stdio(client: Client) -> None:
    """Serve on stdin and stdout until stdin ends, or the process is interrupted."""
    # The SDK waits for stdin in a thread, which no KeyboardInterrupt ends.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    make_server(client).run("stdio")


def serve_http(client: Client, listening: socket.socket, token: str) -> None:
    """Serve streamable HTTP on a socket of loopback, to whoever sends the token, until interrupted."""
    app = make_server(client).streamable_http_app(streamable_http_path=PATH, host=HOST)
    config = uvicorn.Config(with_token(app, token), log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])


def with_token(app: ASGIApp, token: str) -> ASGIApp:
    """The application for requests with `Authorization: Bearer <token>` alone.

    Its tools read and write files of the user who started it, so that other users of the machine must not reach them.
    """
    expected = f"Bearer {token}".encode()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, expected):
                detail = {"error": "send the token that `suspects mcp` was started with: Authorization: Bearer <token>"}
                await JSONResponse(detail, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
        await app(scope, receive, send)

    return guarded


class _Tool(Tool):
    """A tool that says in plain words which arguments are not valid."""

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Run it. Raises ToolError."""
        try:
            self.fn_metadata.validate_arguments(arguments)
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
            known = ", ".join(self.parameters["properties"])
            raise ToolError("\n".join(["Arguments that are not valid", *faults, f"known: {known}"])) from error
        return await super().run(arguments, context, convert_result)


class _ShortSchema(GenerateJsonSchema):
    """JSON schemas without the titles that pydantic makes of names: an agent reads every word of them in every conversation."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic passes it
        """Whether a field gets a title."""
        return False


def _tool(verb: Verb, client: Client) -> Tool:
    tool = _Tool.from_function(
        _bound(verb.function, client),
        name=verb.name,
        title=verb.title,
        description=verb.description,
        annotations=verb.effect,
    )
    described = tool.fn_metadata
    # By itself the SDK ignores an argument that it does not know, so that a misspelt filter would filter nothing.
    described.arg_model.model_config["extra"] = "forbid"
    described.arg_model.model_rebuild(force=True)
    tool.parameters = described.arg_model.model_json_schema(by_alias=True, schema_generator=_ShortSchema)
    described.output_schema = described.output_model.model_json_schema(schema_generator=_ShortSchema)
    return tool


def _bound(function: Callable[..., Any], client: Client) -> Callable[..., Awaitable[CallToolResult]]:
    """A verb with its client, in the form that the SDK takes: its signature says what the arguments and the answer are."""
    signature = inspect.signature(function)
    slow = inspect.iscoroutinefunction(function)

    async def call(context: Context[Any, Any], **given: Any) -> CallToolResult:
        try:
            if slow:
                answer = await function(client, context, **given)
            else:
                answer = await anyio.to_thread.run_sync(partial(function, client, **given))
        except ApiError as error:
            raise ToolError(_said(error)) from error
        return _result(answer)

    taken = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=Context[Any, Any])]
    taken += [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, one in signature.parameters.items()
        if name not in ("client", "context")
    ]
    call.__name__ = function.__name__
    vars(call)["__signature__"] = signature.replace(
        parameters=taken, return_annotation=Annotated[CallToolResult, signature.return_annotation]
    )
    return call


def _result(answer: ToolAnswer) -> CallToolResult:
    """The answer as fields and as compact JSON, each picture after its name."""
    content: list[TextContent | ImageContent] = [TextContent(text=answer.model_dump_json(exclude_none=True))]
    for one in answer.pictures:
        content += [
            TextContent(text=one.sample),
            ImageContent(data=base64.b64encode(one.png).decode(), mime_type="image/png"),
        ]
    return CallToolResult(content=[*content], structured_content=answer.model_dump(mode="json"))


def _said(error: ApiError) -> str:
    """A problem in the words of the service, with the fields that are not valid."""
    first, *others = problem_lines(error.detail, error.errors)
    return "\n".join([f"{error.title}: {first}", *others])
