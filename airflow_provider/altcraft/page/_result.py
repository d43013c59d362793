"""A pull's result as the page reads it: whatever a task returned, these are its fields and nothing else is shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError  # noqa: TID253 - only the API server imports this

Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Kind(_Model):
    """Events of a channel and an action."""

    channel: str | None = None
    action: str
    events: Count


class ByTime(_Model):
    """Events by day, month or year: for each action one count for each of ``starts``."""

    unit: str = "day"
    starts: Annotated[list[dt.date], Field(max_length=200)] = []
    events: dict[str, list[Count]] = {}
    earlier: Count = 0


class Campaign(_Model):
    """Events of a campaign."""

    id: int
    name: str | None = None
    events: Count
    actions: dict[str, Count] = {}


class OtherCampaigns(_Model):
    """Events of the campaigns that are not listed; how many these are, where it is known."""

    campaigns: Count | None = 0
    events: Count = 0


class Summary(_Model):
    """See ``extract._summary.EventSummary.result``."""

    events: Count
    timezone: str = "UTC"
    by_action: list[Kind] = []
    by_time: ByTime = ByTime()
    by_campaign: list[Campaign] = []
    other_campaigns: OtherCampaigns = OtherCampaigns()
    without_campaign: Count = 0


class Window(_Model):
    """From when to when, UTC."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None


class Spread(_Model):
    """Late events, and their lateness in hours: at least and at most so much."""

    events: Count = 0
    hours: dict[str, dict[str, float]] | None = None


class Lateness(Spread):
    """See ``extract._lateness.lateness``."""

    by_action: dict[str, Spread] = {}
    recommended_lookback: str | None = None


class Result(_Model):
    """The XCom of an operator that pulls."""

    uris: list[str] = []
    rows: Count = 0
    bytes: Count | None = None
    window: Window = Window()
    profiles: Count | None = None
    pages: Count | None = None
    failed_profiles: list[Any] = []
    failed_profiles_uri: str | None = None
    summary: Summary
    lateness: Lateness | None = None


def parse(result: Mapping[str, Any]) -> Result | None:
    """Return the result; ``None`` where it is none of a pull."""
    try:
        return Result.model_validate(result)
    except ValidationError:
        return None
