"""The Altcraft Platform's API, usable by itself: there is no Airflow in it.

Names load when they are first used, so that a DAG file that imports an error class does not pay for httpx and pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider.altcraft.client._actions import Action, ActionGroup
    from airflow_provider.altcraft.client._client import AltcraftClient, AsyncAltcraftClient
    from airflow_provider.altcraft.client._core import Settings
    from airflow_provider.altcraft.client._errors import (
        AccessError,
        AltcraftError,
        CertificateError,
        ConnectError,
        FatalError,
        NetworkError,
        RateLimitError,
        RequestError,
        RequestTimeoutError,
        RetriableError,
        ServerError,
        TariffError,
        TokenError,
        UnreadableAnswerError,
    )
    from airflow_provider.altcraft.client._models import Database, HistoryEvent, ProfileLookup
    from airflow_provider.altcraft.client._retry import Retry
    from airflow_provider.altcraft.client._transport import Answer, AsyncTransport, Transport

_HOMES = {
    "_actions": ("Action", "ActionGroup"),
    "_client": ("AltcraftClient", "AsyncAltcraftClient"),
    "_core": ("Settings",),
    "_errors": (
        "AccessError",
        "AltcraftError",
        "CertificateError",
        "ConnectError",
        "FatalError",
        "NetworkError",
        "RateLimitError",
        "RequestError",
        "RequestTimeoutError",
        "RetriableError",
        "ServerError",
        "TariffError",
        "TokenError",
        "UnreadableAnswerError",
    ),
    "_models": ("Database", "HistoryEvent", "ProfileLookup"),
    "_retry": ("Retry",),
    "_transport": ("Answer", "AsyncTransport", "Transport"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccessError",
    "Action",
    "ActionGroup",
    "AltcraftClient",
    "AltcraftError",
    "Answer",
    "AsyncAltcraftClient",
    "AsyncTransport",
    "CertificateError",
    "ConnectError",
    "Database",
    "FatalError",
    "HistoryEvent",
    "NetworkError",
    "ProfileLookup",
    "RateLimitError",
    "RequestError",
    "RequestTimeoutError",
    "RetriableError",
    "Retry",
    "ServerError",
    "Settings",
    "TariffError",
    "TokenError",
    "Transport",
    "UnreadableAnswerError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
