"""A port before a server of a test, which can be closed."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


class Relay:
    """A port before a server that keeps nothing on disk: with the port closed and what is open cut, it is gone.

    Targets go by it; what tests see themselves, they see directly.
    """

    def __init__(self, to: int) -> None:
        self._to, self.port = to, free_port()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.start()

    def start(self) -> None:
        """Let everybody in."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuse everybody, and cut who is in."""
        with self._lock:
            listener, self._listener = self._listener, None
            found, self._open = self._open, set()
        for each in (*found, *([listener] if listener else [])):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it is stopped
            while True:
                here, _ = listener.accept()
                there = socket.create_connection(("127.0.0.1", self._to))
                with self._lock:
                    if self._listener is not listener:
                        here.close()
                        there.close()
                        return
                    self._open |= {here, there}
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay_to(to: int, relayed: bool) -> Iterator[Relay | None]:
    relay = Relay(to) if relayed else None
    try:
        yield relay
    finally:
        if relay:
            relay.stop()
