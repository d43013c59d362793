"""The emulator's HTTP server: uvicorn's protocol on a socket, in a thread with an event loop.

``uvicorn.Server`` is not used: it checks ten times a second whether to stop, and each test would wait for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import threading
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import uvicorn  # noqa: TID253 - loads only when an emulator is made
from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: TID253
from uvicorn.server import ServerState  # noqa: TID253

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_running: weakref.WeakSet[Server] = weakref.WeakSet()


class _Protocol(H11Protocol):
    """Passes the connection's transport, to which faults write directly, and its number to the application."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        number = next(self.app_state["numbers"])
        # Head and body are two writes: without this each answer takes 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {"transport": transport, "connection": number}


class Server:
    """Serves an ASGI application from ``start`` to ``stop``. Started again, it has the port it had before."""

    def __init__(self, app: ASGIApp, *, host: str, port: int, tls: tuple[str, str] | None) -> None:
        self.host = host
        self.port = port
        self._app = app
        self._tls = tls
        self._state = ServerState()
        self._thread: threading.Thread | None = None
        self._listener: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None

    @property
    def running(self) -> bool:
        """Whether it is started."""
        return self._thread is not None

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._state.connections)

    def start(self) -> None:
        """Bind the port and serve; return when connections are accepted.

        Raises:
            OSError: the port cannot be bound, or the certificate cannot be read.
        """
        certificate, key = self._tls or (None, None)
        config = uvicorn.Config(
            self._handle,
            http=_Protocol,
            ws="none",
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            timeout_keep_alive=75,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        config.load()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=1024)
        self.port = self._listener.getsockname()[1]
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(config, self._listener, started), name="altcraft-emulator", daemon=True
        )
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self._thread = None
            self._listener.close()
            raise
        _running.add(self)

    def stop(self) -> None:
        """Abort all connections; return when the thread has ended and all sockets are closed. May be called twice."""
        if self._thread is None or self._loop is None or self._end is None:
            return
        _running.discard(self)
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._thread = None

    def _run(self, config: uvicorn.Config, listener: socket.socket, started: Future[None]) -> None:
        try:
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve(config, listener, started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, config: uvicorn.Config, listener: socket.socket, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        numbers = itertools.count(1)

        def protocol() -> _Protocol:
            return _Protocol(config=config, server_state=self._state, app_state={"numbers": numbers})

        server = await self._loop.create_server(protocol, sock=listener, ssl=config.ssl)
        started.set_result(None)
        await self._end.wait()
        server.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the protocols learn that the connections are lost, so that no task responds
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Only `stop` cancels; uvicorn would log it as a failure of the application.
        with contextlib.suppress(asyncio.CancelledError):
            await self._app(scope, receive, send)

    def _release_sockets(self) -> None:
        """Release the sockets in a forked child, else they stay open there after the parent has closed them.

        The descriptors are redirected, not closed, because Python objects still own their numbers.
        """
        self._thread = None
        sockets = [connection.transport.get_extra_info("socket") for connection in self._state.connections]
        nowhere = os.open(os.devnull, os.O_RDWR)
        for each in [self._listener, *sockets]:
            if each is not None and each.fileno() >= 0:
                os.dup2(nowhere, each.fileno(), inheritable=False)
        os.close(nowhere)


def _after_fork_in_child() -> None:
    for server in list(_running):
        server._release_sockets()
    _running.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
