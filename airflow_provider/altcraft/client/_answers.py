"""Reads an answer: bytes and status in, the envelope out, or the error that the answer is.

The envelope speaks first, whatever the HTTP status; where there is none, the status does.
"""

from __future__ import annotations

import codecs
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import lru_cache
from html import unescape
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic_core import from_json

from airflow_provider.altcraft.client._constants import RETRY_AFTER_CAP, TEXT_LIMIT
from airflow_provider.altcraft.client._errors import (
    AccessError,
    AltcraftError,
    RateLimitError,
    RequestError,
    RequestTimeoutError,
    RetriableError,
    ServerError,
    TariffError,
    TokenError,
    UnreadableAnswerError,
    redact,
)
from airflow_provider.altcraft.client._proxy import PROXY_WANTS
from airflow_provider.altcraft.client._transport import Answer
from airflow_provider.altcraft.window import utc

_MEANING: dict[int, tuple[type[AltcraftError], str]] = {
    400: (RequestError, "the platform refused the request"),
    401: (
        TokenError,
        "the platform does not accept the token: put a valid one into the connection's password",
    ),
    402: (TariffError, "the limit of the account's tariff is reached"),
    403: (AccessError, "the token has no right to this: grant it in the platform, or look at list_id"),
    407: (RequestError, PROXY_WANTS),
    408: (RequestTimeoutError, "the server gave up waiting"),
    429: (RateLimitError, "too many requests"),
}


_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_envelope(answer: Answer, secrets: Iterable[str]) -> dict[str, Any]:
    """The envelope of a success.

    Args:
        answer: status, headers and body.
        secrets: what must not stand in an error's text.

    Raises:
        AltcraftError: the answer is a failure, by its ``error`` or, with no envelope, by its HTTP status.
    """
    envelope = _envelope(answer)
    if envelope is None:
        raise _by_status(answer, secrets)
    code = number_of(envelope.get("error"))
    if code is None:
        if answer.status >= 300:
            raise _by_status(answer, secrets)
        raise UnreadableAnswerError(
            "the answer has no field 'error' with a number, so nothing says that it is whole",
            http_status=answer.status,
        )
    if code == 0:
        return envelope
    text = envelope.get("error_text")
    # Of anything but a text it is not known how to mask what must not be said.
    raise _error(answer, code, shorten(redact(text, secrets)) if isinstance(text, str) else None)


def number_of(value: object) -> int | None:
    """A whole number, which XML gives as text; ``None`` for anything else, so that no failure passes for a 0."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,9}\s*", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def shorten(text: str) -> str:
    """The text, cut where it is too long for a log."""
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}…"


def rows_of(envelope: Mapping[str, Any], http_status: int) -> list[Any]:
    """The rows of a list answer: an array, or, with no rows, null or nothing at all.

    Raises:
        UnreadableAnswerError: ``data`` is something else.
    """
    data = envelope.get("data")
    if data is None or (isinstance(data, str) and not data.strip()):  # XML's empty element
        return []
    if isinstance(data, list):
        return data
    if isinstance(data, _XmlDict):  # an array of one
        return [data]
    raise UnreadableAnswerError(f"data: an array is wanted, not {type(data).__name__}", http_status=http_status)


class _XmlDict(dict[str, Any]):
    """An element with children. XML does not tell an array of one from its only element."""


def _envelope(answer: Answer) -> dict[str, Any] | None:
    try:
        body = _decoded(answer)
        if body.lstrip()[:1] in {b"<", "<"}:
            root = fromstring(body.strip(), forbid_dtd=True)
            content: Any = _from_xml(root) if root.tag == "xml" else None
        else:
            content = from_json(body, allow_inf_nan=False, cache_strings="keys")
    except (ValueError, LookupError, RecursionError, ParseError, DefusedXmlException):
        return None
    return content if isinstance(content, dict) else None


def _decoded(answer: Answer) -> str | bytes:
    """The body as text by its byte-order mark, else by the charset that the server names; as it is without either.

    Raises:
        ValueError: it is no text in that charset.
        LookupError: there is no such charset.
    """
    for mark, name in _MARKS:
        if answer.body.startswith(mark):
            return answer.body.decode(name)
    charset = charset_of(answer.headers.get("content-type", ""))
    return answer.body.decode(charset) if charset else answer.body


@lru_cache(64)
def charset_of(content_type: str) -> str | None:
    """The charset that the header names, if it is not what JSON and XML are in anyway."""
    header = Message()
    header["content-type"] = content_type
    charset = header.get_param("charset")
    return charset if isinstance(charset, str) and charset.lower() not in {"", "utf-8", "utf8"} else None


def _from_xml(element: Element) -> Any:
    if not len(element):
        return element.text or ""
    content = _XmlDict()
    for child in element:
        value = _from_xml(child)
        if child.tag not in content:
            content[child.tag] = value
        elif isinstance(content[child.tag], list):
            content[child.tag].append(value)
        else:
            content[child.tag] = [content[child.tag], value]
    return content


def _by_status(answer: Answer, secrets: Iterable[str]) -> AltcraftError:
    if 300 <= answer.status < 400:
        return RequestError(
            "the server redirects instead of answering: give the final address as the connection's host",
            http_status=answer.status,
        )
    if answer.status == 404:
        return RequestError(
            f"there is no such method at this address: is the connection's host right? {_looks(answer, secrets)}",
            http_status=answer.status,
        )
    if answer.status >= 400:
        return _error(answer, answer.status, None, _looks(answer, secrets))
    return UnreadableAnswerError(
        f"the answer is not the API's: {_looks(answer, secrets)}; is the connection's host right?",
        http_status=answer.status,
    )


def _error(answer: Answer, code: int, text: str | None, looks: str | None = None) -> AltcraftError:
    # Of a code that nobody documents the HTTP status may say more.
    kind, meaning = _meaning(code) or _meaning(answer.status) or _MEANING[400]
    said = f"error {code}" + (f": {text}" if text else "")
    where = f"HTTP {answer.status}" + (f", {looks}" if looks else "")
    error = kind(
        f"{meaning} ({where})" if looks else f"{meaning} ({said}; {where})",
        code=None if looks else code,
        text=text,
        http_status=answer.status,
    )
    if isinstance(error, RetriableError):
        error.retry_after = retry_after(answer.headers)
        if error.retry_after is not None:
            error.args = (f"{error.args[0]}; asked to wait {error.retry_after:.0f} s{_too_long(error.retry_after)}",)
    return error


def _meaning(code: int) -> tuple[type[AltcraftError], str] | None:
    return (ServerError, "the server failed") if 500 <= code <= 599 else _MEANING.get(code)


def _too_long(seconds: float) -> str:
    return (
        f", longer than the {RETRY_AFTER_CAP:.0f} s that are waited for: try later" if seconds > RETRY_AFTER_CAP else ""
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from now that ``Retry-After`` asks to wait, given as seconds or as a date; ``None`` without one."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return float(value)
    try:
        at = utc(parsedate_to_datetime(value))
    except ValueError:
        return None
    return max(0.0, (at - dt.datetime.now(dt.UTC)).total_seconds())


def _looks(answer: Answer, secrets: Iterable[str]) -> str:
    """What the answer looks like, without what may be somebody's data: its type, length and, of a page, its title."""
    if not answer.body.strip():
        return "an empty body"
    # Masked before it is cut: half a token is a secret too.
    kind = redact(answer.headers.get("content-type", ""), secrets).partition(";")[0].strip() or "no content type"
    looks = f"{shorten(kind)}, {len(answer.body)} bytes"
    page = redact(answer.body.decode("utf-8", "replace"), secrets)
    title = re.search(r"<title[^>]*>([^<]+)", page, re.IGNORECASE)
    if title:
        looks += f", titled {redact(unescape(title[1]), secrets).strip()[:80]!r}"
    return looks
