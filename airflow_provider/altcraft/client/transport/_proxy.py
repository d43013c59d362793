"""The proxy that a connection names: read once, spelled so that each HTTP library reads the same in it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

PROXY_WANTS = "the proxy wants a user and password, or other ones: look at the connection's proxy (HTTP 407)"
"""Not tried again: directories lock a user after some wrong passwords."""

_EXPECTED = (
    "expected an address such as http://proxy.example.com:3128, got another value (not shown); put user:password@ "
    "before the host where the proxy requires them, with other characters than letters and digits written as %40"
)


def proxy_url(value: object) -> str | None:
    """The proxy's address in one spelling; ``None`` where there is none. Without a scheme it is ``http``.

    Raises:
        ValueError: it is no address of an HTTP proxy. The message shows nothing of it: a password may stand in it.
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
    """The address taken apart; ``None`` where it is none. An error of the library's would hold the password."""
    with suppress(ValueError):
        parts = urlsplit(text)
        host = parts.hostname or ""
        fits = IPv6Address(host) if ":" in host else re.fullmatch(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", host)
        rest = text.partition("://")[2].removesuffix("/")
        if fits and parts.scheme in {"http", "https"} and parts.port != 0 and not re.search(r"[/?#\s]|:$", rest):
            return parts
    return None


def proxy_credentials(url: str | None) -> tuple[str, str] | None:
    """User and password of a proxy's address, as they are sent."""
    parts = urlsplit(url or "")
    return None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))


def proxy_secrets(url: str | None) -> Iterator[str]:
    """What must not stand in an error: the password, and both as the proxy gets them and may repeat them."""
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
        """The one for an address, if any."""
        parts = urlsplit(url)
        proxy = self._found.get(parts.scheme) or self._found.get("all")
        if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
        return self._spelled(proxy)

    @staticmethod
    def _spelled(proxy: str) -> str:
        return proxy if "://" in proxy else f"http://{proxy}"
