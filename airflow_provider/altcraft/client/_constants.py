"""Every number of the client in one place."""

from __future__ import annotations

from typing import Final

API_PATH: Final = "/api/v1.1/"

TIMEOUT: Final = 60.0
"""Seconds that one try of a call may take from its connection to the last byte of the response."""

CONNECT_TIMEOUT: Final = 10.0
"""Seconds to wait for a connection, or nine tenths of the whole time-out where that is shorter."""

MAX_CONNECTIONS: Final = 16

TEXT_LIMIT: Final = 1000
"""Characters that an error keeps of a text of the server's."""

ATTEMPTS: Final = 5
"""Tries of one call, the first included."""

BACKOFF_INITIAL: Final = 0.75
"""Seconds that the first pause may take; they double from one try to the next. Each is drawn at random between the half
and the whole, so that the four pauses of a call together span more than 5 s."""

BACKOFF_MAX: Final = 30.0

OUTAGE_TIMEOUT: Final = 120.0
"""Seconds without any response after which a client of many calls gives up; also those that one call may fail."""

OUTAGE_PAUSES: Final = (0.5, 5.0)
"""Seconds at least and at most between two calls while nothing is answered. The pauses of a single call of many are no
longer either."""

RETRY_AFTER_CAP: Final = 120.0
"""Seconds: a longer ``Retry-After`` is not waited for; the error says so."""

LARGE_ANSWER: Final = 64_000
"""Bytes from which on a response is put together and unpacked in another thread than the event loop's."""

PAGE_LIMIT: Final = 1000
"""Rows a page of ``subscribers/history_get_all``: the platform's own default; its maximum is not documented."""

LATENESS: Final = 0.05
"""Seconds by which a call may leave after its turn without delaying the turns of those after it."""
