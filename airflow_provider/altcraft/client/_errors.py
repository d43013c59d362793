"""The errors of the client, sorted by what to do about them.

AltcraftError
├── FatalError                asking again will not help: correct the input, the connection or the account
│   ├── BadRequestError       the platform refused the request (400, or a code that is not documented)
│   │   └── ProfileNotFoundError  the platform has no profile for the lookup, and says so as an error
│   ├── TokenError            no token, or not this one (401)
│   ├── TariffError           the tariff's limit is reached (402)
│   ├── AccessError           the token has no right to this (403)
│   └── CertificateError      the server's TLS certificate cannot be trusted
└── RetriableError            asking again may help; the client has already done so when you see one
    ├── NetworkError          the connection broke after it was made: the request may have arrived
    │   └── ConnectError      no connection was made: nothing was sent
    ├── RequestTimeoutError   no whole response in time
    ├── RateLimitError        too many requests (429)
    ├── ServerError           the server failed (5xx)
    ├── CursorError           a cursor that the platform gave is refused: the walk must start again
    └── UnreadableAnswerError the response is not what the API sends: HTML, cut-off JSON, no ``error`` field
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from urllib.parse import quote


class AltcraftError(Exception):
    """Root of all errors of this package's client; none ever holds the token.

    Attributes:
        code: the platform's ``error``, where there was an envelope.
        text: the platform's ``error_text``, with the token and the values of the lookup masked, and cut where long.
        http_status: status of the HTTP answer, where there was one.
        method: the API's method, such as ``subscribers/history_get``.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        text: str | None = None,
        http_status: int | None = None,
        method: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.text = text
        self.http_status = http_status
        self.method = method

    def __str__(self) -> str:
        message = super().__str__()
        return f"{self.method}: {message}" if self.method else message


class FatalError(AltcraftError):
    """Asking again will not help."""


class BadRequestError(FatalError):
    """The platform refused the request: a wrong field, an unknown database, or a code that is not documented."""


class ProfileNotFoundError(BadRequestError):
    """The platform has no profile for the lookup. Raised for histories with ``on_missing_profile="error"`` only."""


class TokenError(FatalError):
    """The platform requires a token, or another one: check the connection's password."""


class TariffError(FatalError):
    """The limit of the account's tariff is reached."""


class AccessError(FatalError):
    """The token is known but has no right to this method or database."""


class CertificateError(FatalError):
    """The server's TLS certificate cannot be trusted, so nothing was sent."""


class RetriableError(AltcraftError):
    """Asking again may help.

    Attributes:
        retry_after: seconds that the server asked to wait, where it did.
        outage: whether the client gave up without a response to any of its calls since this one first failed.
    """

    retry_after: float | None = None
    outage: bool = False


class NetworkError(RetriableError):
    """The connection broke; the request may have arrived."""


class ConnectError(NetworkError):
    """No connection could be made, so nothing was sent."""


class RequestTimeoutError(RetriableError):
    """There was no whole response within the time-out."""


class RateLimitError(RetriableError):
    """Too many requests."""


class ServerError(RetriableError):
    """The server failed."""


class CursorError(RetriableError):
    """The platform refuses a cursor that it gave earlier in the same walk, so the walk must start again."""


class UnreadableAnswerError(RetriableError):
    """The response is not what the API sends."""


# Tracebacks name where to import from.
for _each in [each for each in globals().values() if isinstance(each, type) and issubclass(each, AltcraftError)]:
    _each.__module__ = "airflow_provider.altcraft.client"


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return the text with each secret masked, in any case and in any escaped form."""
    forms = {form for secret in secrets for form in _forms(secret) if form}
    if not forms:
        return text
    return re.sub("|".join(map(_pattern, sorted(forms, key=len, reverse=True))), "***", text, flags=re.IGNORECASE)


def _forms(secret: str) -> set[str]:
    return {
        secret,
        secret.lstrip("+"),  # a phone
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        secret.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
        escape(secret),
        quote(secret, safe=""),
        quote(secret),
    }


def _pattern(form: str) -> str:
    """Return a pattern of the text with any number of backslashes in it, as texts are quoted within texts."""
    parts = re.findall(r"\\+|\w+|[^\w\\]", form)
    loose = "".join(
        r"\\+" if part[0] == "\\" else part if part[0].isalnum() else rf"\\*{re.escape(part)}" for part in parts
    )
    # A short secret may be part of any number, so it is masked only as a whole word.
    return loose if len(form) > 3 else rf"(?<!\w){loose}(?!\w)"
