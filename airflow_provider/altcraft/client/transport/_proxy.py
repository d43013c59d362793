"""The proxy of a connection, in a form that all HTTP libraries read alike."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

PROXY_WANTS = "the proxy requires a user and password, or other ones: check the connection's proxy (HTTP 407)"
"""Not tried again: directories lock a user after some wrong passwords."""

_EXPECTED = (
    "expected an address such as http://proxy.example.com:3128, got another value (not shown); put user:password@ "
    "before the host where the proxy requires them, with other characters than letters and digits written as %40"
)


def proxy_url(value: object) -> str | None:
    """Return the proxy's address in one form; ``None`` without one. Without a scheme it is ``http``.

    Raises:
        ValueError: it is not the address of an HTTP proxy. The message shows nothing of it, as it may hold a password.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError(f"proxy: {_EXPECTED}")
    text = value.strip()
    if text and set(text) == {"*"}:
        raise ValueError("proxy: it is masked (***), so it is not the address itself; enter the address again")
    if text.lower().startswith("socks"):
        raise ValueError("proxy: only proxies of http and https can be used, not SOCKS")
    parts = _parts(text if "://" in text else f"http://{text}")
    if parts is None:
        raise ValueError(f"proxy: {_EXPECTED}")
    host = (parts.hostname or "").removesuffix(".")  # which no certificate has
    place = (f"[{host}]" if ":" in host else host) + (f":{parts.port}" if parts.port else "")
    if parts.username is None:
        return f"{parts.scheme}://{place}"
    user, password = (quote(unquote(each or ""), safe="") for each in (parts.username, parts.password))
    if "%3A" in user:  # the proxy would take what follows for the password
        raise ValueError(f"proxy: {_EXPECTED}")
    return f"{parts.scheme}://{user}:{password}@{place}"


def _parts(text: str) -> SplitResult | None:
    """Return the parts of the address; ``None`` where it is not one. The library's error would hold the password."""
    with suppress(ValueError):
        parts = urlsplit(text)
        host = parts.hostname or ""
        fits = IPv6Address(host) if ":" in host else re.fullmatch(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", host)
        rest = text.partition("://")[2].removesuffix("/")
        if fits and parts.scheme in {"http", "https"} and parts.port != 0 and not re.search(r"[/?#\s]|:$", rest):
            return parts
    return None


def proxy_credentials(url: str | None) -> tuple[str, str] | None:
    """Return user and password of a proxy's address, as they are sent."""
    parts = urlsplit(url or "")
    return None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))


def proxy_secrets(url: str | None) -> Iterator[str]:
    """Return the texts that no error may hold: the password, and both as the proxy gets and may repeat them."""
    user, password = proxy_credentials(url) or ("", "")
    if password:
        yield password
        yield b64encode(f"{user}:{password}".encode()).decode()


class EnvironmentProxies:
    """The environment's proxies for a pull, read once: aiohttp itself would read it again for each request.

    Raises:
        ValueError: one of them cannot be used.
    """

    def __init__(self) -> None:
        self._found = {scheme: proxy for scheme, proxy in getproxies().items() if scheme in {"http", "https", "all"}}
        for name, proxy in self._found.items():
            if urlsplit(self._spelled(proxy)).scheme not in {"http", "https"}:
                raise ValueError(f"{name}_proxy: only proxies of http and https can be used in a pull, not SOCKS")

    def of(self, url: str) -> str | None:
        """Return the proxy for an address, if any."""
        parts = urlsplit(url)
        proxy = self._found.get(parts.scheme) or self._found.get("all")
        if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
        return self._spelled(proxy)

    @staticmethod
    def _spelled(proxy: str) -> str:
        return proxy if "://" in proxy else f"http://{proxy}"
