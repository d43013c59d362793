"""Stores of a test's own that it stops and starts: what a task sees when its server goes and comes back.

moto, Azurite and the emulator of Google's hold all in memory here, so their process lives on while its port is closed
and every connection cut, as where a network or a balancer fails. What the tests look with goes past that.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

from tests.integration import stores

_SERVE = {"s3": stores.serve_s3, "azure": stores.serve_azure, "gcs": stores.serve_gcs}


class Gate:
    """A port that leads to another, until it is stopped."""

    def __init__(self, behind: int) -> None:
        self.port = stores.free_port()
        self._behind = behind
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.start()

    def start(self) -> None:
        """Let everybody in."""
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
        with contextlib.suppress(OSError):
            while True:
                here, _ = listener.accept()
                there = socket.create_connection(("127.0.0.1", self._behind))
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
def stoppable_store(kind: str) -> Iterator[tuple[Any, Gate]]:
    """Run a store whose Airflow connection leads through a gate."""
    with _SERVE[kind](f"altcraft_test_stopped_{kind}") as store:
        variable = f"AIRFLOW_CONN_{store.conn_id.upper()}"
        port = store.endpoint.split("/")[2].partition(":")[2]
        gate = Gate(int(port))
        os.environ[variable] = os.environ[variable].replace(f"127.0.0.1:{port}", f"127.0.0.1:{gate.port}")
        try:
            yield store, gate
        finally:
            gate.stop()
