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

_MODULES = {
    "Action": "_actions",
    "ActionGroup": "_actions",
    "AltcraftClient": "_client",
    "AsyncAltcraftClient": "_async_client",
    "AsyncTransport": "transport._httpx",
    "ClientSettings": "_core",
    "Database": "_models",
    "HistoryEvent": "_models",
    "ProfileLookup": "_models",
    "Response": "transport._httpx",
    "Retry": "_retry",
    "Transport": "transport._httpx",
}
"""The module that defines each name; ``_errors`` defines all others."""
_FORMER = {"Answer": "Response", "RequestError": "BadRequestError", "Settings": "ClientSettings"}
"""Names that were documented before 0.1."""

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
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES.get(name, '_errors')}"), name)
    found.__module__ = __name__  # where users import it from, which tracebacks and `repr` show
    return found
