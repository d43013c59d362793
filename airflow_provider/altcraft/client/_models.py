"""The models that users see: a lookup, an event, a database."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeAlias, TypeVar

from pydantic import (  # noqa: TID253 - the package imports this module lazily
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from airflow_provider.altcraft.client._actions import CHANNELS
from airflow_provider.altcraft.client._lookup import check_lookup
from airflow_provider.altcraft.window import utc

T = TypeVar("T")


def _none_if_empty(value: object) -> object:
    return None if value == "" else value  # XML has no other way to say "nothing"


def _one_if_empty(value: object) -> object:
    return 1 if value is None or value == "" else value  # a row is at least one action


def _objects(value: object) -> object:
    """Return an array of objects from XML, where an array of one looks like its element, an empty object like text."""
    if value == "":
        return None
    if isinstance(value, dict):
        return [value]
    return [{} if item == "" else item for item in value] if isinstance(value, list) else value


# What Arrow and SQL hold in 64 bits.
Int64: TypeAlias = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Int: TypeAlias = Annotated[Int64 | None, BeforeValidator(_none_if_empty)]
Text: TypeAlias = str | None


class ProfileLookup(BaseModel):
    """The lookup of one profile: ``xxh``, or ``matching`` with its fields.

    ``ProfileLookup.of`` also takes a mapping or a plain string, which is an e-mail. What does not fit is refused with a
    ``ValueError`` that names the field and shows no value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    matching: str | None = None
    xxh: str | None = None
    email: str | None = None
    phone: str | None = None
    profile_id: str | None = None
    provider: str | None = None
    subscription_id: str | None = None
    field_name: str | None = None
    field_value: int | str | None = None

    if not TYPE_CHECKING:  # type checkers and editors know the fields better than this does

        def __init__(self, **fields: Any) -> None:
            """Refuse what does not fit in plain words: pydantic's error sends its readers to a page of its own."""
            super().__init__(**check_lookup(fields))

    @model_validator(mode="before")
    @classmethod
    def _check(cls, value: Any) -> Any:
        return check_lookup(value)

    @classmethod
    def of(cls, value: object) -> ProfileLookup:
        """Return the lookup of a profile in any form that users may give."""
        return value if isinstance(value, cls) else cls.model_validate(check_lookup(value))

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the request: those given, and ``matching``."""
        return self.model_dump(exclude_none=True)


class HistoryEvent(BaseModel):
    """One row of a profile's history.

    Known fields are typed, whatever else the platform sends stays in ``model_extra``. ``datetime`` is aware, in UTC.
    Source: the platform's page on ``subscribers/history_get``; ``list_id`` is called ``db_id`` in one of its tables.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
    )

    action: str
    datetime: Annotated[dt.datetime, AfterValidator(utc)]
    count: Annotated[Int64, BeforeValidator(_one_if_empty)] = 1
    list_id: Annotated[Int, Field(validation_alias=AliasChoices("list_id", "db_id"))] = None
    xxh: Text = None
    profile_id: Text = None
    email: Text = None
    channel: Text = None
    message_id: Int = None
    message_name: Text = None
    campaign_id: Int = None
    campaign_name: Text = None
    smid: Text = None
    event_id: Text = None
    subscription: Annotated[dict[str, Any] | None, BeforeValidator(_none_if_empty)] = None
    subscriptions: Annotated[list[dict[str, Any]] | None, BeforeValidator(_objects)] = None

    @property
    def known_channel(self) -> str | None:
        """``channel`` as sent, else the one that the documented action belongs to."""
        return self.channel or CHANNELS.get(self.action)


class Database(BaseModel):
    """A profile database, as ``databases/list/`` and ``databases/get/`` give it."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    id: int
    name: str = ""
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list call: its rows, the cursor of the next page (``None`` where none came), and a total."""

    rows: list[T]
    next_from_id: int | str | None = None
    total_count: int | None = None
