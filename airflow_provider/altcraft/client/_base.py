"""The base of the two clients: settings, core, closing, and the log line of each call."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self, TypeAlias

from airflow_provider.altcraft.client._core import Call, ClientOptions, ClientSettings, Core
from airflow_provider.altcraft.client._errors import AltcraftError, FatalError
from airflow_provider.altcraft.client._models import ProfileLookup
from airflow_provider.altcraft.client.transport._httpx import Response, TransportArguments

log = logging.getLogger(__name__)

Profile: TypeAlias = ProfileLookup | Mapping[str, object] | str


@contextmanager
def named(call: Call) -> Iterator[None]:
    """Add the method of the call to errors, and remove the request from them."""
    try:
        yield
    except AltcraftError as error:
        error.method = call.method
        error.__context__ = None  # a library's error holds the request, and with it the token
        raise


class BaseClient:
    """The base of both clients."""

    def __init__(self, base_url: str, token: str, options: ClientOptions) -> None:
        self.settings = ClientSettings(base_url, token, **options)
        self.core = Core(self.settings)
        self._closed = threading.Event()
        self._many = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.base_url!r})"

    def lasting(self) -> Self:
        """Return this client for work of many calls: each call is tried for up to ``outage_timeout``."""
        view = copy.copy(self)
        view._many = True
        return view

    def _transport_arguments(self) -> TransportArguments:
        settings = self.settings
        return {
            "timeout": settings.timeout,
            "max_connections": settings.max_connections,
            "verify": settings.ssl_context(),
            "proxy": settings.proxy,
        }

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise FatalError("the client is closed")

    @staticmethod
    def _log(call: Call, response: Response, started: float) -> None:
        seconds = time.monotonic() - started
        log.debug("%s: HTTP %d, %d bytes, %.3f s", call.method, response.status, len(response.body), seconds)
