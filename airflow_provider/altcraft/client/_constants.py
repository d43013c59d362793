"""Every number of the client in one place."""

from __future__ import annotations

from typing import Final

API_PATH: Final = "/api/v1.1/"

TIMEOUT: Final = 60.0
"""Seconds that one try of a call may take from its connection to the last byte of the answer."""

CONNECT_TIMEOUT: Final = 10.0
"""Seconds to wait for a connection, or nine tenths of the whole time-out where that is shorter."""

MAX_CONNECTIONS: Final = 16

TEXT_LIMIT: Final = 1000
"""Characters that an error keeps of a text of the server's."""

ATTEMPTS: Final = 5
"""Tries of one call, the first included."""

BACKOFF_INITIAL: Final = 0.5
"""Seconds that the first pause may take; they double from one try to the next. A pause is drawn at random below."""

BACKOFF_MAX: Final = 30.0

RETRY_AFTER_CAP: Final = 120.0
"""Seconds: a longer ``Retry-After`` is not waited for; the error says so."""

LARGE_ANSWER: Final = 64_000
"""Bytes from which on an answer is put together and unpacked in another thread than the event loop's."""

PAGE_LIMIT: Final = 1000
"""Rows a page of ``subscribers/history_get_all``: the platform's own default; its maximum is not documented."""

LATENESS: Final = 0.05
"""Seconds by which a call may leave after its turn without delaying the turns of those after it."""
