"""The Altcraft Platform's API, usable by itself: there is no Airflow in it.

Names load when they are first used, so that a DAG file that imports an error class does not pay for httpx and pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider.altcraft.client._actions import Action, ActionGroup
    from airflow_provider.altcraft.client._async_client import AsyncAltcraftClient
    from airflow_provider.altcraft.client._client import AltcraftClient
    from airflow_provider.altcraft.client._core import ClientSettings
    from airflow_provider.altcraft.client._errors import (
        AccessError,
        AltcraftError,
        BadRequestError,
        CertificateError,
        ConnectError,
        CursorError,
        FatalError,
        NetworkError,
        ProfileNotFoundError,
        RateLimitError,
        RequestTimeoutError,
        RetriableError,
        ServerError,
        TariffError,
        TokenError,
        UnreadableAnswerError,
    )
    from airflow_provider.altcraft.client._models import Database, HistoryEvent, ProfileLookup
    from airflow_provider.altcraft.client._retry import Retry
    from airflow_provider.altcraft.client.transport._httpx import AsyncTransport, Response, Transport

_HOMES = {
    "_actions": ("Action", "ActionGroup"),
    "_async_client": ("AsyncAltcraftClient",),
    "_client": ("AltcraftClient",),
    "_core": ("ClientSettings",),
    "_errors": (
        "AccessError",
        "AltcraftError",
        "CertificateError",
        "ConnectError",
        "CursorError",
        "FatalError",
        "NetworkError",
        "ProfileNotFoundError",
        "RateLimitError",
        "BadRequestError",
        "RequestTimeoutError",
        "RetriableError",
        "ServerError",
        "TariffError",
        "TokenError",
        "UnreadableAnswerError",
    ),
    "_models": ("Database", "HistoryEvent", "ProfileLookup"),
    "_retry": ("Retry",),
    "transport._httpx": ("AsyncTransport", "Response", "Transport"),
}
_FORMER = {"Answer": "Response", "RequestError": "BadRequestError", "Settings": "ClientSettings"}
"""Names that were documented before 0.1."""
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccessError",
    "Action",
    "ActionGroup",
    "AltcraftClient",
    "AltcraftError",
    "AsyncAltcraftClient",
    "AsyncTransport",
    "BadRequestError",
    "CertificateError",
    "ClientSettings",
    "ConnectError",
    "CursorError",
    "Database",
    "FatalError",
    "HistoryEvent",
    "NetworkError",
    "ProfileLookup",
    "ProfileNotFoundError",
    "RateLimitError",
    "RequestTimeoutError",
    "Response",
    "RetriableError",
    "Retry",
    "ServerError",
    "TariffError",
    "TokenError",
    "Transport",
    "UnreadableAnswerError",
]


def __getattr__(name: str) -> Any:
    name = _FORMER.get(name, name)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    found.__module__ = __name__  # where users import it from, which tracebacks and `repr` show
    return found
