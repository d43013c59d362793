"""The client of pulls: sends many calls by aiohttp, and reads large responses in another thread."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar, Unpack

from airflow_provider.altcraft.client._async_client import SMALL, AsyncAltcraftClient
from airflow_provider.altcraft.client._base import named
from airflow_provider.altcraft.client._core import Call, ClientOptions
from airflow_provider.altcraft.client._errors import AltcraftError, RetriableError
from airflow_provider.altcraft.client._worker import WorkerThread
from airflow_provider.altcraft.client.transport._chosen import FEW, ChosenTransport
from airflow_provider.altcraft.client.transport._httpx import AsyncTransport, Response

T = TypeVar("T")


class BulkClient(AsyncAltcraftClient):
    """The same API for millions of calls; arguments, results and errors are those of ``AsyncAltcraftClient``.

    A call is tried until it has failed for ``outage_timeout``, so a pull outlasts what is shorter. A cancelled call
    breaks off its request.
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
        self._many = True
        self._reader = WorkerThread("altcraft-read")

    def _own_transport(self) -> AsyncTransport:
        return ChosenTransport(**self._transport_arguments())

    def expect(self, calls: int) -> None:
        """Tell the client, before the first call, how many calls there will be; by default many."""
        if isinstance(self._transport, ChosenTransport):
            self._transport.few = calls <= FEW

    async def ask(
        self,
        call: Call,
        read: Callable[[Call, Response], T],
        *,
        many: bool = True,
        read_apart: Callable[[Call, Response], Awaitable[T]] | None = None,
    ) -> T:
        """Make a call, and return the result of ``read`` for its response; large ones are read in another thread.

        Args:
            call: the call.
            read: reads a response; where it raises a ``RetriableError``, the call is made again.
            many: the call is one of many that outlast an outage, and not tried as a single one.
            read_apart: reads large responses instead of that thread.

        Raises:
            AltcraftError: see ``client._errors`` for the tree.
        """
        once = partial(self._once, call, self.core.request(call), read, read_apart)
        try:
            return await once()
        except RetriableError as error:
            failed: RetriableError | None = error

        async def again() -> T:
            nonlocal failed
            if failed:  # the first try was made without tenacity, whose overhead most calls need not pay
                error, failed = failed, None
                raise error
            return await once()

        return await self._tries(many=many)(again)

    async def apart(self, work: Callable[[], T]) -> T:
        """Run work in the thread that reads responses, and return its result."""
        return await self._reader.do(work)

    async def aclose(self) -> None:
        """Close every connection; calls under way end with a ``FatalError``."""
        await super().aclose()
        self._reader.close()

    async def _send(self, call: Call, read: Callable[[Call, Response], T]) -> T:
        return await self.ask(call, read)

    async def _once(
        self,
        call: Call,
        request: tuple[str, dict[str, str], bytes],
        read: Callable[[Call, Response], T],
        read_apart: Callable[[Call, Response], Awaitable[T]] | None = None,
    ) -> T:
        with named(call):
            # The slot comes before the turn, else turns that passed while waiting would leave all at once.
            async with self._slots:
                left_at = await self._pace.turn(many=True)
                self._check_open()
                started = time.monotonic()
                try:
                    response = await self._transport.send(*request)
                except RetriableError as error:
                    self._check_open()
                    self._pace.failed(left_at, error)
                    raise
            self._log(call, response, started)
            with self._pace.judged(left_at):
                if len(response.body) < SMALL:
                    return read(call, response)
                if read_apart:
                    return await read_apart(call, response)
                return await self._reader.do(partial(read, call, response))

    async def answers(self) -> bool:
        """Return whether the platform answers the cheapest call, tried once."""
        call = self.core.databases(0, 1)
        try:
            await self._once(call, self.core.request(call), self.core.databases_of)
        except AltcraftError as error:
            return not isinstance(error, RetriableError)
        return True
