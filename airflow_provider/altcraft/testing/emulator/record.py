"""The record of the requests that the emulator got, and the faults that it is to play."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_provider.altcraft.testing.faults import Fault

_MASK = "***"
_LOOKUP_FIELDS = ("xxh", "email", "phone", "profile_id", "subscription_id", "field_value")


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request that the emulator got, whatever the response was.

    Attributes:
        method: the API method, such as ``subscribers/history_get``.
        body: its JSON object, the token masked; empty where the body was something else.
        headers: by lower-case name, the credentials masked.
        at: when it came, UTC.
        connection: number of the TCP connection, from 1.
        peer: the client's address and port.
        fault: the fault that was played on it.
    """

    method: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    at: datetime
    connection: int
    peer: tuple[str, int]
    fault: str | None


@dataclass(slots=True)
class _Script:
    faults: Iterator[Fault]
    method: str | None
    lookup: str | Mapping[str, Any] | None

    def matches(self, method: str, body: Mapping[str, Any]) -> bool:
        if self.method is not None and self.method.strip("/") != method.strip("/"):
            return False
        if isinstance(self.lookup, str):
            return self.lookup in (str(body.get(name)) for name in _LOOKUP_FIELDS)
        return self.lookup is None or self.lookup.items() <= body.items()


class Record:
    """The part of an emulator that records requests and chooses faults. Methods may be called from any thread."""

    def __init__(self, *, record: bool | int) -> None:
        self.record = record
        self.requests_per_second: float | None = None
        """Requests beyond this rate get 429 and ``Retry-After: 1``."""
        self._lock = threading.Lock()
        self._requests: deque[RecordedRequest] = deque(maxlen=None if isinstance(record, bool) else record)
        self._request_count = 0
        self._scripts: list[_Script] = []
        self._forever: list[_Script] = []
        self._recent: deque[float] = deque()

    def play(self, *faults: Fault, method: str | None = None, lookup: str | Mapping[str, Any] | None = None) -> None:
        """Play faults in this order, one for each request; afterwards responses are normal again.

        Args:
            *faults: made by the functions of ``faults``.
            method: only requests of this method use them up, such as ``subscribers/history_get``.
            lookup: only requests for this profile use them up: the value of its lookup, or fields of the body.
        """
        with self._lock:
            self._scripts.append(_Script(iter(faults), method, lookup))

    def play_forever(
        self, fault: Fault, *, method: str | None = None, lookup: str | Mapping[str, Any] | None = None
    ) -> None:
        """Play a fault on every matching request, until ``reset``; faults of ``play`` go first.

        Of several that match, the one given last is played.
        """
        with self._lock:
            self._forever.insert(0, _Script(itertools.repeat(fault), method, lookup))

    def reset(self) -> None:
        """Forget the requests, and the faults not yet played."""
        with self._lock:
            self._requests.clear()
            self._request_count = 0
            self._scripts.clear()
            self._forever.clear()
            self._recent.clear()

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests since the start or ``reset``, in the order they came, while ``record`` is on."""
        with self._lock:
            return list(self._requests)

    @property
    def request_count(self) -> int:
        """The number of requests since the start or ``reset``, recorded or not."""
        with self._lock:
            return self._request_count

    def receive(self, request: Request, method: str, body: Mapping[str, Any]) -> Fault | None:
        """Record a request and return the fault to be played on it. For internal use."""
        with self._lock:
            fault = self._next_fault(method, body)
            self._request_count += 1
            if self.record:
                self._requests.append(_recorded(request, method, body, fault))
            return fault

    def too_fast(self) -> bool:
        """Return whether a request is beyond ``requests_per_second``; if not, it counts. For internal use."""
        if self.requests_per_second is None:
            return False
        now = time.monotonic()
        with self._lock:
            while self._recent and self._recent[0] <= now - 1:
                self._recent.popleft()
            if len(self._recent) >= self.requests_per_second:
                return True
            self._recent.append(now)
            return False

    def _next_fault(self, method: str, body: Mapping[str, Any]) -> Fault | None:
        for script in [*self._scripts, *self._forever]:
            if script.matches(method, body) and (fault := next(script.faults, None)):
                return fault
        return None


def _recorded(request: Request, method: str, body: Mapping[str, Any], fault: Fault | None) -> RecordedRequest:
    headers = dict(request.headers)
    if "authorization" in headers:
        headers["authorization"] = f"{headers['authorization'].partition(' ')[0]} {_MASK}"
    return RecordedRequest(
        method=method,
        body={name: _MASK if name == "token" else value for name, value in body.items()},
        headers=headers,
        at=datetime.now(UTC),
        connection=request.scope["state"]["connection"],
        peer=request.scope["client"],
        fault=fault.name if fault else None,
    )
