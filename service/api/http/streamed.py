"""Answers whose content is read while it is sent."""

from collections.abc import AsyncIterator, Generator, Iterator, Mapping

import anyio
import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import AsyncContentStream, StreamingResponse
from starlette.types import Receive, Scope, Send

from service.api.http.errors import LOST_WHILE_READ, deleted_meanwhile
from service.domain.errors import SuspectsError

log = structlog.get_logger()


class StreamedResponse(StreamingResponse):
    """An answer that ends early, with its connection, if the job or the dataset of the path is deleted meanwhile.

    The status is sent before that. The client sees by the missing last chunk that its file is not whole.
    A generator is closed when the answer ends, also where the client has gone away: it may hold a connection to the database, or files.
    """

    # FastAPI reads the status that is documented off these parameters.
    def __init__(
        self, content: Iterator[bytes], status_code: int = 200, *, media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(content, status_code, headers, media_type)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Raises what its content raises for any other reason."""
        self.body_iterator = _while_there(self.body_iterator, Request(scope))
        try:
            await super().__call__(scope, receive, send)
        except _CutOffError as error:
            log.info("deleted while it was sent", deleted=str(error), error=repr(error.__cause__))
        finally:
            # A lost client cancels this task. What is left to the collection of memory is closed minutes later.
            with anyio.CancelScope(shield=True):
                if isinstance(self._content, Generator):
                    await run_in_threadpool(self._content.close)


class _CutOffError(Exception):
    """What is sent is there no more; the text is its id."""


async def _while_there(content: AsyncContentStream, request: Request) -> AsyncIterator[str | bytes | memoryview]:
    try:
        async for piece in content:
            yield piece
    except (*LOST_WHILE_READ, SuspectsError) as error:
        name = await run_in_threadpool(deleted_meanwhile, request)
        if name is None:
            raise
        raise _CutOffError(name) from error
