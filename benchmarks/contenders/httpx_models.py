"""httpx, async, with pydantic models of the rows."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import Any

import httpx  # noqa: TID253 - imported before the clock starts
import pyarrow.parquet  # noqa: F401, TID253 - the same
from pydantic import BaseModel, ConfigDict  # noqa: TID253 - the same

from benchmarks.job import Job, write_rows


class Event(BaseModel):
    """A row."""

    model_config = ConfigDict(extra="allow")

    action: str
    datetime: dt.datetime
    count: int
    list_id: int
    xxh: str
    email: str
    message_id: int | None = None
    campaign_id: int | None = None
    profile_id: str | None = None
    channel: str | None = None
    message_name: str | None = None
    campaign_name: str | None = None
    smid: str | None = None
    event_id: str | None = None

    def flat(self) -> dict[str, Any]:
        """Known columns, and all else as JSON."""
        return self.model_dump(exclude=set(self.model_extra or {})) | {"extra": json.dumps(self.model_extra)}


class Answer(BaseModel):
    """An answer."""

    error: int
    data: list[Event]


def run(job: Job) -> None:
    """Pull and write."""
    write_rows(asyncio.run(_pull(job)), job.parquet)


async def _pull(job: Job) -> list[dict[str, Any]]:
    rows = []
    limit = asyncio.Semaphore(job.connections)
    async with httpx.AsyncClient(timeout=60) as client:  # it has 100 connections at most

        async def ask(email: str) -> list[Event]:
            async with limit:
                answer = await client.post(job.method, json=job.request(email))
            answer.raise_for_status()
            return Answer.model_validate_json(answer.content).data

        for events in await asyncio.gather(*map(ask, job.emails)):
            rows += [event.flat() for event in events]
    return rows
