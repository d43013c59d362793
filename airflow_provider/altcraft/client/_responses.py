"""Turns a response into its envelope, or into the error that it stands for.

The ``error`` of the envelope decides, whatever the HTTP status; where there is none, the status decides.
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
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft.client._constants import RETRY_AFTER_CAP, TEXT_LIMIT
from airflow_provider.altcraft.client._errors import (
    AccessError,
    AltcraftError,
    BadRequestError,
    ProfileNotFoundError,
    RateLimitError,
    RequestTimeoutError,
    RetriableError,
    ServerError,
    TariffError,
    TokenError,
    UnreadableAnswerError,
    redact,
)
from airflow_provider.altcraft.client._json import decode
from airflow_provider.altcraft.client.transport._proxy import PROXY_WANTS
from airflow_provider.altcraft.window import utc

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from airflow_provider.altcraft.client.transport._httpx import Response

_MEANINGS: dict[int, tuple[type[AltcraftError], str]] = {
    400: (BadRequestError, "the platform refused the request"),
    401: (
        TokenError,
        "the platform does not accept the token: put a valid one into the connection's password",
    ),
    402: (TariffError, "the limit of the account's tariff is reached"),
    403: (AccessError, "the token has no right to this: grant it in the platform, or look at list_id"),
    407: (BadRequestError, PROXY_WANTS),
    408: (RequestTimeoutError, "the server gave up waiting"),
    429: (RateLimitError, "too many requests"),
}

# The text of the error is known, but not its code. The value of the lookup is masked in it as ***. It is another error
# that a field or a database is not found.
_NO_PROFILE = (
    r"(?i)\bprofiles?( \S*\*\*\*\S*)?( (with|by|for) (?!.*\b(field|database|list)\b).*)?"
    r"( is| was)? (not found|does not exist)\b"
    r"|\bno such profile\b(?! (field|database|list))"
)

_NOT_THE_API = "this is an address that is not the API's: is the connection's host right?"
_PROXY = "a proxy or firewall in front of the platform"
_OTHER_APPLICATIONS = frozenset({400, 406, 410, 411, 415, 422})
"""Statuses with which other web applications refuse a request that they do not know."""
_PROXY_REFUSALS = {
    401: f"{_PROXY} requires a login of its own, not the platform's token: ask its administrator",
    403: f"{_PROXY} refuses this machine, whatever its token: ask its administrator to allow the machine",
}

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_envelope(response: Response, secrets: Iterable[str]) -> dict[str, Any]:
    """Return the envelope of a success.

    Args:
        response: status, headers and body.
        secrets: texts to be masked in an error.

    Raises:
        AltcraftError: the response is a failure, by its ``error`` or, with no envelope, by its HTTP status.
    """
    envelope, problem = _envelope(response)
    code = None if envelope is None else number_of(envelope.get("error"))
    if envelope is None or (code is None and response.status >= 300):
        raise _by_status(response, secrets, problem)
    if code is None:
        raise UnreadableAnswerError(
            "the answer has no field 'error' with a number, so nothing says that it is whole",
            http_status=response.status,
        )
    if code == 0:
        return envelope
    text = envelope.get("error_text")
    # Only a text can be masked.
    raise _error(response, code, shorten(redact(text, secrets)) if isinstance(text, str) else None)


def number_of(value: object) -> int | None:
    """Return a whole number, which is a text in XML; ``None`` for anything else, so that no failure counts as 0."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,9}\s*", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def shorten(text: str) -> str:
    """Return the text, cut where it is too long for a log."""
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}…"


def rows_of(envelope: Mapping[str, Any], http_status: int) -> list[Any]:
    """Return the rows of a list response, whose ``data`` is null or missing where there are none.

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
    raise UnreadableAnswerError(f"data: expected an array, got {type(data).__name__}", http_status=http_status)


class _XmlDict(dict[str, Any]):
    """An element with children, which may also be an array of one: XML has no difference."""


def _envelope(response: Response) -> tuple[dict[str, Any] | None, str | None]:
    """Return the envelope; or ``None`` and, where the body seems to be the API's, why it cannot be read."""
    try:
        content = _content(response)
    except RecursionError:
        return None, "it is nested too deeply"
    except UnicodeDecodeError:
        return None, "it is not UTF-8"
    except ValueError as error:
        return None, str(error) if response.body.lstrip().startswith(b"{") else None
    except (LookupError, SyntaxError):  # the latter is XML's
        return None, None
    return content if isinstance(content, dict) else None, None


def _content(response: Response) -> Any:
    body = _decoded(response)
    if body.lstrip()[:1] in {b"<", "<"}:  # a page of a proxy, or a response to a call that asks for XML
        from defusedxml.ElementTree import fromstring

        root = fromstring(body.strip(), forbid_dtd=True)
        return _from_xml(root) if root.tag == "xml" else None
    return decode(body)


def _decoded(response: Response) -> str | bytes:
    """Return the body decoded by its byte-order mark or the charset that the server names; as it is without either.

    Raises:
        ValueError: it cannot be decoded.
        LookupError: the charset is unknown.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if response.body.startswith(mark):
            return response.body.decode(name)
    charset = charset_of(response.headers.get("content-type", ""))
    return response.body.decode(charset) if charset else response.body


@lru_cache(64)
def charset_of(content_type: str) -> str | None:
    """Return the charset that the header names; ``None`` for UTF-8, the default of JSON and XML, or without one."""
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


def _by_status(response: Response, secrets: Iterable[str], problem: str | None) -> AltcraftError:
    """Return the error of a response without a readable envelope, which may be of a proxy or another server."""
    status, summary = response.status, _summary(response, secrets)
    where = f"HTTP {status}, {summary}"
    if 300 <= status < 400:
        return BadRequestError(
            "the server redirects instead of answering: give the final address as the connection's host",
            http_status=status,
        )
    page = _is_page(response)
    if status in {404, 405, 501} or (page and status in _OTHER_APPLICATIONS):
        return BadRequestError(f"{_NOT_THE_API} ({where})", http_status=status)
    if page and status in _PROXY_REFUSALS:
        return BadRequestError(f"{_PROXY_REFUSALS[status]} ({where})", http_status=status)
    if status == 429 and page:
        error = RateLimitError(f"{_PROXY} limits the requests: too many requests ({where})", http_status=429)
        return _with_retry_after(error, response)
    if status >= 400:
        return _error(response, status, None, summary)
    if problem:
        return UnreadableAnswerError(f"the answer cannot be read: {problem}", http_status=status)
    return UnreadableAnswerError(f"{_NOT_THE_API} ({where})", http_status=status)


def _is_page(response: Response) -> bool:
    """Return whether it is HTML, which the API never sends."""
    kind = response.headers.get("content-type", "").lower()
    return "html" in kind or re.match(rb"\s*<(!doctype html|html)", response.body, re.IGNORECASE) is not None


def _error(response: Response, code: int, text: str | None, summary: str | None = None) -> AltcraftError:
    """Return the error of a code from the envelope; or, with ``summary``, of an HTTP status."""
    # For an undocumented code, the HTTP status may say more.
    kind, meaning = _meaning(code) or _meaning(response.status) or _MEANINGS[400]
    if kind is BadRequestError and text and re.search(_NO_PROFILE, text.replace("_", " ")):
        kind, meaning = ProfileNotFoundError, "the platform has no such profile"
    details = f"HTTP {response.status}, {summary}"
    if not summary:
        details = f"error {code}{f': {text}' if text else ''}; HTTP {response.status}"
    error = kind(f"{meaning} ({details})", code=None if summary else code, text=text, http_status=response.status)
    return _with_retry_after(error, response) if isinstance(error, RetriableError) else error


def _with_retry_after(error: RetriableError, response: Response) -> RetriableError:
    """Return the error with the time that ``Retry-After`` asks to wait."""
    error.retry_after = seconds = retry_after(response.headers)
    if seconds is not None:
        cap = f", longer than the {RETRY_AFTER_CAP:.0f} s that are waited for: try later"
        error.args = (f"{error.args[0]}; asked to wait {seconds:.0f} s{cap if seconds > RETRY_AFTER_CAP else ''}",)
    return error


def _meaning(code: int) -> tuple[type[AltcraftError], str] | None:
    return (ServerError, "the server failed") if 500 <= code <= 599 else _MEANINGS.get(code)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds from now that ``Retry-After`` asks to wait, as a number or a date; ``None`` without one."""
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


def _summary(response: Response, secrets: Iterable[str]) -> str:
    """Return the type, length and, of a page, title of the body, without anything that may be personal data."""
    if not response.body.strip():
        return "an empty body"
    # Masked before it is cut, because half a token would not be recognized.
    kind = redact(response.headers.get("content-type", ""), secrets).partition(";")[0].strip() or "no content type"
    summary = f"{shorten(kind)}, {len(response.body)} bytes"
    page = redact(response.body.decode("utf-8", "replace"), secrets)
    title = re.search(r"<title[^>]*>([^<]+)", page, re.IGNORECASE)
    if title:
        summary += f", titled {redact(unescape(title[1]), secrets).strip()[:80]!r}"
    return summary
