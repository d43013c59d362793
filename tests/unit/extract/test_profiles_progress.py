"""How far a pull of profiles is, while an answer that others wait for is late."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.client._core import Call
from airflow_provider.altcraft.client._lookup import check_lookup
from airflow_provider.altcraft.extract._protocol import Piece, PullSizes
from airflow_provider.altcraft.extract.profiles.lookups import Lookups
from airflow_provider.altcraft.extract.profiles.pull import ProfilesPull
from airflow_provider.altcraft.window import Window
from tests.batches import make_batch

PROFILES = [f"ann{number}@example.com" for number in range(10)]


class Client(BulkClient):
    """Answers with one event a profile, but the late one's answer waits."""

    def __init__(self, late: str) -> None:
        super().__init__("https://example.com", "token")
        self.late, self.asked = late, 0
        self.comes, self.full = asyncio.Event(), asyncio.Event()

    async def ask(self, call: Call, *_: Any, **__: Any) -> Any:
        self.asked += 1
        if self.asked == 8:  # the late one, and as many as may wait for it
            self.full.set()
        if call.fields["email"] == self.late:
            await self.comes.wait()
        return make_batch(1)


def pull_of(client: Client) -> ProfilesPull:
    sizes = PullSizes(batch_rows=1)
    return ProfilesPull(client, Lookups(map(check_lookup, PROFILES)), 1, Window(), concurrency=2, sizes=sizes)


async def pieces_of(pull: ProfilesPull) -> list[Piece]:
    return [piece async for piece in pull.batches()]


@pytest.mark.parametrize("done", [0, 2])
def test_profiles_count_when_they_are_answered(done: int) -> None:
    """A state counts those that were handed on: an earlier one is still to come."""

    async def check() -> None:
        client = Client(late=PROFILES[done])
        pull = pull_of(client)
        if done:
            pull.resume({"profiles": done, "events": done, "failed": [], "without_events": 0})
        running = asyncio.create_task(pieces_of(pull))
        await client.full.wait()
        record = pull.progress.record()
        assert (record["done"], record["total"], record["events"]) == (done + 7, 10, done + 7)
        assert record["seconds_left"] is not None
        client.comes.set()
        states = [piece.state for piece in await running]
        assert [state["profiles"] for state in states] == [*range(done + 1, 11), 10]
        assert [state["events"] for state in states] == [*range(done + 1, 11), 10]
        assert (pull.progress.profiles, pull.progress.events) == (10, 10)

    asyncio.run(check())
