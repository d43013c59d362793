"""The client of pulls: aiohttp beneath, answers read beside the event loop, and one pace that answers move."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar, Unpack

from tenacity import AsyncRetrying

from airflow_provider.altcraft.client._aiohttp import AiohttpTransport
from airflow_provider.altcraft.client._beside import Beside
from airflow_provider.altcraft.client._client import SMALL, AsyncAltcraftClient, named
from airflow_provider.altcraft.client._core import Call, ClientOptions
from airflow_provider.altcraft.client._errors import NetworkError, RateLimitError, RetriableError
from airflow_provider.altcraft.client._pace import AdaptivePace
from airflow_provider.altcraft.client._transport import Answer, AsyncTransport

T = TypeVar("T")


class BulkClient(AsyncAltcraftClient):
    """The same API for millions of calls; arguments, results and errors are those of ``AsyncAltcraftClient``.

    Of "too many requests" (429) no try is counted while others are answered: the whole client slows down, and speeds up
    again by itself. A cancelled call breaks off its request.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        transport: AsyncTransport | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(base_url, token, transport=transport, **options)
        self._adaptive = AdaptivePace(self.settings.requests_per_second)
        self._reader = Beside("altcraft-read")

    def _own_transport(self) -> AsyncTransport:
        settings = self.settings
        return AiohttpTransport(
            timeout=settings.timeout,
            max_connections=settings.max_connections,
            verify=settings.ssl_context(),
            proxy=settings.proxy,
        )

    async def ask(self, call: Call, read: Callable[[Call, Answer], T]) -> T:
        """Make a call, and give what ``read`` makes of its answer, in another thread where the answer is large.

        Args:
            call: the call.
            read: what reads an answer; where it raises a ``RetriableError``, the call is made again.

        Raises:
            AltcraftError: see ``client._errors`` for the tree.
        """
        once = partial(self._once, call, self.core.request(call), read)
        try:
            return await once()
        except RetriableError as error:
            failed: RetriableError | None = error

        async def again() -> T:
            nonlocal failed
            if failed:  # that was the first of the tries, and tenacity costs too much to count those that go well
                error, failed = failed, None
                raise error
            return await once()

        return await AsyncRetrying(**self.settings.retry.options())(again)

    async def apart(self, work: Callable[[], T]) -> T:
        """What the work gives, done where answers are read: beside the event loop, one after the other."""
        return await self._reader.do(work)

    async def aclose(self) -> None:
        """Close every connection; calls under way end with a ``FatalError``."""
        await super().aclose()
        self._reader.close()

    async def _send(self, call: Call, read: Callable[[Call, Answer], T]) -> T:
        return await self.ask(call, read)

    async def _once(
        self, call: Call, request: tuple[str, dict[str, str], bytes], read: Callable[[Call, Answer], T]
    ) -> T:
        with named(call):
            while True:
                # The slot comes before the turn, else turns that passed meanwhile would leave all at once.
                async with self._slots:
                    left_at = await self._adaptive.turn()
                    self._check_open()
                    started = time.monotonic()
                    try:
                        answer = await self._transport.send(*request)
                    except NetworkError:
                        self._check_open()
                        raise
                self._log(call, answer, started)
                try:
                    result = (
                        read(call, answer)
                        if len(answer.body) < SMALL
                        else await self._reader.do(partial(read, call, answer))
                    )
                except RateLimitError as error:
                    if not self._adaptive.refused(left_at, error.retry_after):
                        raise
                    await asyncio.sleep(error.retry_after or 0.0)
                else:
                    self._adaptive.accepted()
                    return result
