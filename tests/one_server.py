"""One HTTP server for all tests of a process, on which one application runs at a time.

A server of uvicorn takes a quarter of a second to stop; with one a test, a run would wait for minutes.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

_STOP_WITHIN_S = 1.0
_PATIENCE_S = 1  # threads that wait for a queue keep the loop from closing


class OneServer:
    """A server in a thread. Its address stays; what answers there is the application that `running` was given."""

    def __init__(self) -> None:
        self._app: FastAPI | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._answer,
                host="127.0.0.1",
                port=0,
                log_level="error",
                lifespan="off",
                interface="asgi3",
                # Without it, a connection that its client never closes keeps the server up for ever.
                timeout_graceful_shutdown=1,
            )
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="server of the tests", daemon=True)

    def start(self) -> None:
        """Start it; it can be reached afterwards."""
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it for good. Its thread ends with the process at the latest."""
        self._server.should_exit = True
        self._thread.join(_PATIENCE_S)

    @property
    def url(self) -> str:
        """Where it can be reached."""
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def rest(self) -> None:
        """Wait until the application also did what it does after its answers. No stream may be open."""
        while self._answering:
            time.sleep(0.01)

    @contextmanager
    def running(self, app: FastAPI) -> Iterator[str]:
        """The URL of the started application, which is stopped at the end of the block."""
        started, over = threading.Event(), asyncio.Event()
        living = asyncio.run_coroutine_threadsafe(self._live(app, started, over), self._loop)
        living.add_done_callback(lambda _: started.set())
        started.wait()
        if living.done():
            living.result()
        self._app = app
        try:
            yield self.url
        finally:
            self._app = None
            self._loop.call_soon_threadsafe(over.set)
            living.result()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._server.serve())

    async def _live(self, app: FastAPI, started: threading.Event, over: asyncio.Event) -> None:
        async with app.router.lifespan_context(app):
            started.set()
            await over.wait()
            # Streams end when their client notices, which a client that is gone does not.
            if self._answering:
                _, late = await asyncio.wait(self._answering, timeout=_STOP_WITHIN_S)
                for one in late:
                    one.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        app, task = self._app, asyncio.current_task()
        assert app is not None, "no application runs: a client outlived its test"
        assert task is not None
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        await app(scope, receive, send)
