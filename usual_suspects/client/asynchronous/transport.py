"""Sends requests over HTTP, with retries, and reads streams."""

import io
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import httpx
from httpx_sse import SSEError, aconnect_sse
from tenacity import AsyncRetrying

from usual_suspects.client import events, requests
from usual_suspects.client.asynchronous.waiting import pause
from usual_suspects.client.errors import ApiError, Unavailable, UnexpectedAnswer, WaitedTooLong, error_of, unreachable
from usual_suspects.client.events import Update, Watch
from usual_suspects.client.requests import CONNECT_S, READ_S, Request, is_local
from usual_suspects.client.retries import policy
from usual_suspects.files import atomic_write


class AsyncTransport:
    """Connections to the service at `url`. Raises ApiError for a URL that is none."""

    def __init__(self, url: str, key: str | None, retries: int) -> None:
        self.url, self._retries = url.rstrip("/"), retries
        try:
            self._http = httpx.AsyncClient(
                base_url=self.url,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
                # No proxy of the environment leads to this machine.
                trust_env=not is_local(self.url),
            )
        except (ValueError, httpx.InvalidURL) as error:
            raise ApiError("Not an address", f"{url}: {error}") from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, request: Request) -> Any:
        """The JSON of the answer; an empty object where there is none. Raises ApiError."""
        try:
            async for attempt in AsyncRetrying(**policy(request, self._retries)):
                with attempt, _opened(request.file) as file:
                    return await self._once(request, file)
        except OSError as error:
            raise ApiError("Cannot read the file", f"{request.file}: {error.strerror}") from error

    async def _once(self, request: Request, file: BinaryIO) -> Any:
        try:
            answer = await self._http.request(request.method, request.path, **request.options(file))
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        if not answer.is_success:
            raise error_of(answer)
        try:
            return answer.json() if answer.content else {}
        except ValueError as error:
            raise UnexpectedAnswer("Not this service", f"{self.url} answers, but not with JSON") from error

    @asynccontextmanager
    async def opened(self, request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of an answer in pieces. Raises ApiError."""
        try:
            async with self._http.stream(request.method, request.path, **request.options()) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise error_of(answer)
                yield answer.aiter_bytes()
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error

    async def save(self, request: Request, output: Path) -> None:
        """GET into a file, which appears when it is complete. A download that breaks is begun again. Raises ApiError."""
        try:
            async for attempt in AsyncRetrying(**policy(request, self._retries)):
                with attempt:
                    async with self.opened(request) as blocks:
                        # An error of the service leaves no file.
                        with atomic_write(output) as part, part.open("wb") as file:
                            async for block in blocks:
                                file.write(block)
        except OSError as error:
            raise ApiError("Cannot write the file", f"{output}: {error.strerror}") from error

    async def watch(self, job: str, timeout: float | None = None) -> AsyncGenerator[Update]:
        """Events of a job until it ends. Raises ApiError, and WaitedTooLong after `timeout` seconds.

        A broken stream is resumed at the last event. Where no stream comes through, the job is polled instead.
        """
        state = Watch(timeout)
        while True:
            async with aclosing(self._listen(job, state)) as updates:
                async for update in updates:
                    yield update
            if state.must_poll:
                for update in state.polled(await self.send(requests.get("jobs", job))):
                    yield update
            if state.ended:
                return
            if state.is_over:
                raise WaitedTooLong("Not ended in time", f"{job} had not ended after {timeout:g} seconds; it goes on")
            await pause(state.pause)

    async def _listen(self, job: str, state: Watch) -> AsyncGenerator[Update]:
        """Events of one connection."""
        try:
            async with aclosing(self._events(job, state)) as updates:
                async for update in updates:
                    yield update
                    if state.ended or state.is_over:
                        return
        except (SSEError, httpx.ReadTimeout):
            state.answered()
        except httpx.TransportError as error:
            if state.failed():
                raise unreachable(self.url, error) from error
        except Unavailable:
            if state.failed():
                raise

    async def _events(self, job: str, state: Watch) -> AsyncGenerator[Update]:
        request, silence = requests.events(job, state.last), state.connect()
        async with aconnect_sse(
            self._http, "GET", request.path, headers=dict(request.headers), timeout=silence
        ) as source:
            if not source.response.is_success:
                await source.response.aread()
                raise error_of(source.response)
            async for event in source.aiter_sse():
                if event.event in events.KINDS:
                    yield state.take(event)


def _opened(file: Path | None) -> BinaryIO:
    return io.BytesIO() if file is None else file.open("rb")
