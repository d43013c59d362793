"""Ports for servers that cannot take a free one by themselves."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

# Below those that the system gives on request: other tests ask for one before the server has bound its own.
_PORTS = range(11_000, 32_000)


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
