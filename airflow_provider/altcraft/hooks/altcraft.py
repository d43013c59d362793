"""The hook: an Airflow connection of type ``altcraft`` turned into a client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.client._constants import PAGE_LIMIT
from airflow_provider.altcraft.hooks._connection import async_client, client_arguments

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AltcraftClient, AsyncAltcraftClient, Database, HistoryEvent
    from airflow_provider.altcraft.client._base import Profile
    from airflow_provider.altcraft.client._core import ClientOptions
    from airflow_provider.altcraft.window import DateLike

_LISTED = 10
"""Databases that the connection test names."""


class AltcraftHook(BaseHook):
    """The Altcraft Platform behind an Airflow connection.

    The methods that read are the client's: arguments, results and errors are the same, ``list_id`` is the connection's
    own where it is ``None``, and a connection that does not fit is a ``ValueError``. Each call has a client of its own;
    for several calls, ``get_conn`` gives one.

    Args:
        altcraft_conn_id: the connection: host is the installation's address, password is the API token, and the extra
            fields are ``list_id``, ``timeout``, ``max_connections``, ``requests_per_second``, ``outage_timeout``,
            ``auth``, ``verify``, ``proxy``, ``on_missing_profile``, ``timezone``, ``profile_url`` and ``campaign_url``.
    """

    conn_name_attr = "altcraft_conn_id"
    default_conn_name = "altcraft_default"
    conn_type = "altcraft"
    hook_name = "Altcraft"

    def __init__(self, altcraft_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.altcraft_conn_id = altcraft_conn_id

    def client_arguments(self) -> tuple[str, str, ClientOptions]:
        """Return base URL, token and options of the connection, the arguments of both clients.

        Raises:
            ValueError: the connection lacks something or holds what cannot work.
        """
        return client_arguments(self.get_connection(self.altcraft_conn_id))

    def get_conn(self) -> AltcraftClient:
        """Return a new client; close it, or use it in a ``with`` block.

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
        self,
        profile: Profile,
        *,
        list_id: int | None = None,
        date_from: DateLike = None,
        date_to: DateLike = None,
        actions: Collection[str] | None = None,
    ) -> list[HistoryEvent]:
        """Return one profile's events within the window, oldest first; see ``AltcraftClient.get_history``."""
        with self.get_conn() as client:
            return client.get_history(profile, list_id=list_id, date_from=date_from, date_to=date_to, actions=actions)

    async def aget_history(
        self,
        profile: Profile,
        *,
        list_id: int | None = None,
        date_from: DateLike = None,
        date_to: DateLike = None,
        actions: Collection[str] | None = None,
    ) -> list[HistoryEvent]:
        """As ``get_history``, in an event loop."""
        async with await self.aget_conn() as client:
            return await client.get_history(
                profile, list_id=list_id, date_from=date_from, date_to=date_to, actions=actions
            )

    def iter_database_history(
        self,
        *,
        list_id: int | None = None,
        date_from: DateLike,
        date_to: DateLike,
        fields: Sequence[str] = (),
        page_size: int = PAGE_LIMIT,
    ) -> Iterator[HistoryEvent]:
        """Yield all events of a database within the window; see ``AltcraftClient.iter_database_history``."""
        with self.get_conn() as client:
            yield from client.iter_database_history(
                list_id=list_id, date_from=date_from, date_to=date_to, fields=fields, page_size=page_size
            )

    async def aiter_database_history(
        self,
        *,
        list_id: int | None = None,
        date_from: DateLike,
        date_to: DateLike,
        fields: Sequence[str] = (),
        page_size: int = PAGE_LIMIT,
    ) -> AsyncIterator[HistoryEvent]:
        """As ``iter_database_history``, in an event loop."""
        async with await self.aget_conn() as client:
            async for event in client.iter_database_history(
                list_id=list_id, date_from=date_from, date_to=date_to, fields=fields, page_size=page_size
            ):
                yield event

    def iter_profiles(
        self,
        *,
        list_id: int | None = None,
        query: Mapping[str, Any] = MappingProxyType({}),
        fields: Sequence[str] = (),
        page_size: int = PAGE_LIMIT,
    ) -> Iterator[Mapping[str, Any]]:
        """Yield all profiles of a database, or those of a query; see ``AltcraftClient.iter_profiles``."""
        with self.get_conn() as client:
            yield from client.iter_profiles(list_id=list_id, query=query, fields=fields, page_size=page_size)

    async def aiter_profiles(
        self,
        *,
        list_id: int | None = None,
        query: Mapping[str, Any] = MappingProxyType({}),
        fields: Sequence[str] = (),
        page_size: int = PAGE_LIMIT,
    ) -> AsyncIterator[Mapping[str, Any]]:
        """As ``iter_profiles``, in an event loop."""
        async with await self.aget_conn() as client:
            async for profile in client.iter_profiles(list_id=list_id, query=query, fields=fields, page_size=page_size):
                yield profile

    def list_databases(self) -> list[Database]:
        """Return the databases that the token may see; see ``AltcraftClient.list_databases``."""
        with self.get_conn() as client:
            return client.list_databases()

    async def alist_databases(self) -> list[Database]:
        """As ``list_databases``, in an event loop."""
        async with await self.aget_conn() as client:
            return await client.list_databases()

    def test_connection(self) -> tuple[bool, str]:
        """List the databases that the token sees, and find out how days are counted, each call tried once.

        Returns:
            Whether it went well, and in words what is wrong, or which databases the token sees and, where the
            connection has a ``list_id`` and there are events of recent days, in what time zone these are counted.
        """
        from airflow_provider.altcraft.client import AltcraftClient, AltcraftError, Retry

        try:
            base_url, token, options = self.client_arguments()
            with AltcraftClient(base_url, token, **options | {"retry": Retry(attempts=1)}) as client:
                databases = client.list_databases()
                listed, list_id = _listed(databases), client.settings.list_id
                if list_id not in {None, *(each.id for each in databases)}:
                    return False, f"list_id: expected a database that the token sees, got {list_id}; it sees {listed}"
                return True, f"The platform answers; the token sees {listed}.{_zone_text(client)}"
        except (ValueError, AltcraftError) as error:
            return False, str(error)

    # For Airflow before 3.2; later ones read the form from the provider info.

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the standard fields of the form, with their labels."""
        from airflow_provider.altcraft.get_provider_info import FIELD_BEHAVIOUR

        return {key.replace("-", "_"): value for key, value in FIELD_BEHAVIOUR.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the form."""
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


def _listed(databases: Sequence[Database]) -> str:
    """Return the number of databases and a list of them, by id and name."""
    names = [f"{each.id} {each.name}".strip() for each in databases[:_LISTED]]
    more = [f"and {len(databases) - _LISTED} more"] if len(databases) > _LISTED else []
    count = counted(len(databases), "database")
    return f"{count}: {', '.join([*names, *more])}" if databases else count


def _zone_text(client: AltcraftClient) -> str:
    """Return the account's time zone as recent events show it, in words; empty where they cannot be read."""
    from airflow_provider.altcraft.client import AltcraftError

    if client.settings.list_id is None:
        return ""
    try:
        return client.find_zone().text(client.settings.timezone)
    except AltcraftError:
        return ""
