"""The transport of a pull, chosen at its first request, when the number of requests is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Unpack

from airflow_provider.altcraft.client.transport._httpx import (
    AsyncHttpxTransport,
    AsyncTransport,
    Response,
    TransportArguments,
)
from airflow_provider.altcraft.client.transport._proxy import EnvironmentProxies

FEW: Final = 50
"""Up to so many requests httpx, which Airflow has loaded, costs less than the import of aiohttp: 0.15 s."""


class ChosenTransport:
    """httpx for a few requests, aiohttp for all others.

    Raises:
        ValueError: the environment names a proxy that cannot be used.
    """

    def __init__(self, **arguments: Unpack[TransportArguments]) -> None:
        self.few = False
        if arguments.get("proxy") is None:
            EnvironmentProxies()
        self._arguments = arguments
        self._chosen: AsyncTransport | None = None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        """POST the body and return the whole response."""
        return await (self._chosen or self._choose()).send(url, headers, body)

    async def aclose(self) -> None:
        """End what is under way and close every connection."""
        if self._chosen is not None:
            await self._chosen.aclose()

    def _choose(self) -> AsyncTransport:
        if self.few:
            self._chosen = AsyncHttpxTransport(**self._arguments)
        else:
            from airflow_provider.altcraft.client.transport._aiohttp import AiohttpTransport

            self._chosen = AiohttpTransport(**self._arguments)
        return self._chosen
