"""A pull of few profiles uses httpx, which Airflow has loaded already; one of more uses aiohttp, which is faster."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.client.transport._aiohttp import AiohttpTransport
from airflow_provider.altcraft.client.transport._chosen import FEW, ChosenTransport
from airflow_provider.altcraft.client.transport._httpx import AsyncHttpxTransport
from airflow_provider.altcraft.testing import Emulator


@pytest.mark.parametrize(
    ("calls", "kind"),
    [(1, AsyncHttpxTransport), (FEW, AsyncHttpxTransport), (FEW + 1, AiohttpTransport), (None, AiohttpTransport)],
)
def test_the_number_of_calls_decides(altcraft_api: Emulator, calls: int | None, kind: type) -> None:
    ann = altcraft_api.add_profile(email="ann@example.com")
    altcraft_api.add_event(ann, "open")

    async def ask() -> object:
        async with BulkClient(altcraft_api.url, altcraft_api.token, list_id=1) as client:
            if calls is not None:
                client.expect(calls)
            assert len(await client.get_history("ann@example.com")) == 1
            transport = client._transport
            assert isinstance(transport, ChosenTransport)
            return transport._chosen

    assert isinstance(asyncio.run(ask()), kind)
