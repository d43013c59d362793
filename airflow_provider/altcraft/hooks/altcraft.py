"""The hook: an Airflow connection of type ``altcraft`` turned into a client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider.altcraft.hooks._connection import async_client, client_arguments

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AltcraftClient, AsyncAltcraftClient, HistoryEvent
    from airflow_provider.altcraft.client._client import Profile
    from airflow_provider.altcraft.client._core import ClientOptions
    from airflow_provider.altcraft.window import DateLike


class AltcraftHook(BaseHook):
    """The Altcraft Platform behind an Airflow connection.

    Args:
        altcraft_conn_id: the connection: host is the installation's address, password is the API token, and the extra
            fields are ``list_id``, ``timeout``, ``max_connections``, ``requests_per_second``, ``auth``, ``verify`` and
            ``proxy``.
    """

    conn_name_attr = "altcraft_conn_id"
    default_conn_name = "altcraft_default"
    conn_type = "altcraft"
    hook_name = "Altcraft"

    def __init__(self, altcraft_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.altcraft_conn_id = altcraft_conn_id

    def client_arguments(self) -> tuple[str, str, ClientOptions]:
        """Base URL, token and options that the connection holds: what both clients are made of.

        Raises:
            ValueError: the connection lacks something or holds what cannot work.
        """
        return client_arguments(self.get_connection(self.altcraft_conn_id))

    def get_conn(self) -> AltcraftClient:
        """A client of its own; close it, or use it in a ``with`` block.

        Raises:
            ValueError: the connection lacks something or holds what cannot work.
        """
        from airflow_provider.altcraft.client import AltcraftClient

        base_url, token, options = self.client_arguments()
        return AltcraftClient(base_url, token, **options)

    async def aclient_arguments(self) -> tuple[str, str, ClientOptions]:
        """As ``client_arguments``, without holding up the running event loop."""
        from airflow.providers.common.compat.connection import get_async_connection

        return client_arguments(await get_async_connection(self.altcraft_conn_id))

    async def aget_conn(self) -> AsyncAltcraftClient:
        """As ``get_conn``, for the running event loop."""
        return await async_client(*await self.aclient_arguments())

    def get_history(
        self, profile: Profile, *, list_id: int | None = None, date_from: DateLike = None, date_to: DateLike = None
    ) -> list[HistoryEvent]:
        """One profile's events within the window, oldest first.

        Args:
            profile: a ``ProfileLookup``, a mapping of its fields, or an e-mail.
            list_id: the database; the connection's own where ``None``.
            date_from: a date (from its first instant in UTC) or an aware date-time; ``None`` for no bound.
            date_to: a date (to its last instant in UTC) or an aware date-time, itself excluded; ``None`` for no bound.

        Raises:
            ValueError: an argument or the connection does not fit, before any request.
            AltcraftError: the platform could not be asked, or refused.
        """
        with self.get_conn() as client:
            return client.get_history(profile, list_id=list_id, date_from=date_from, date_to=date_to)

    async def aget_history(
        self, profile: Profile, *, list_id: int | None = None, date_from: DateLike = None, date_to: DateLike = None
    ) -> list[HistoryEvent]:
        """As ``get_history``, in an event loop."""
        async with await self.aget_conn() as client:
            return await client.get_history(profile, list_id=list_id, date_from=date_from, date_to=date_to)

    def iter_database_history(
        self,
        *,
        list_id: int | None = None,
        date_from: DateLike,
        date_to: DateLike,
        fields: Sequence[str] = (),
    ) -> Iterator[HistoryEvent]:
        """All events of a database within the window, page by page, in the platform's order.

        Args:
            list_id: the database; the connection's own where ``None``.
            date_from: as in ``get_history``, but required.
            date_to: as in ``get_history``, but required.
            fields: profile fields to add to each event, as an object ``fields``.

        Raises:
            ValueError: an argument or the connection does not fit, before any request.
            AltcraftError: the platform could not be asked, or refused.
        """
        with self.get_conn() as client:
            yield from client.iter_database_history(
                list_id=list_id, date_from=date_from, date_to=date_to, fields=fields
            )

    def test_connection(self) -> tuple[bool, str]:
        """Make the cheapest call that wants a valid token, once.

        Returns:
            Whether it went well, and in words what is wrong or how many databases the token sees.
        """
        from airflow_provider.altcraft.client import AltcraftClient, AltcraftError, Retry

        try:
            base_url, token, options = self.client_arguments()
            with AltcraftClient(base_url, token, **options | {"retry": Retry(attempts=1)}) as client:
                count = client.count_databases()
        except (ValueError, AltcraftError) as error:
            return False, str(error)
        return True, f"The platform answers; the token sees {count} database{'' if count == 1 else 's'}."

    # Airflow 3.2 and later read the form from the provider info; the two methods below are for those before.

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Which standard fields the form shows, and under what names."""
        from airflow_provider.altcraft.get_provider_info import FIELD_BEHAVIOUR

        return {key.replace("-", "_"): value for key, value in FIELD_BEHAVIOUR.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The form's own fields."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import IntegerField, StringField
        from wtforms.validators import Optional

        from airflow_provider.altcraft.get_provider_info import FORM_FIELDS

        def kind(field: dict[str, Any]) -> Any:
            # Airflow takes no field for fractions here, so those numbers are text until the hook reads them.
            return IntegerField if "integer" in field["schema"]["type"] else StringField

        return {
            name: kind(field)(
                field["label"], description=field["description"], widget=BS3TextFieldWidget(), validators=[Optional()]
            )
            for name, field in FORM_FIELDS.items()
        }
