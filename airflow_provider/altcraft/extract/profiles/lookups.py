"""The lookups of a pull, each once and in their order; many of them are kept on the local disk."""

from __future__ import annotations

import json
import tempfile
import threading
import weakref
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any

from pydantic_core import from_json

from airflow_provider.altcraft.client._lookup import lookup_text

_IN_MEMORY = 4 << 20
_BLOCK = 1 << 16
_BUCKETS = 64
_RECORD = 24


class Lookups:
    """Lookups that may be iterated again and again, from several threads; memory does not grow with their number.

    The file has no name, so it vanishes with its process.

    Args:
        found: lookups as ``check_lookup`` gives them. One with the ``matching`` and ``lookup`` of an earlier one is
            left out.
        most_known: lookups that are compared in memory; the digests of more go to the disk.

    Raises:
        OSError: the disk of temporary files (``TMPDIR``) is full or cannot be written.
    """

    def __init__(self, found: Iterable[Mapping[str, Any]], most_known: int = 100_000) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, prefix="altcraft-")  # noqa: SIM115 - closed at the end
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        digest, seen, count = blake2b(digest_size=16), _KnownLookups(most_known), 0
        for fields in found:
            if not seen.add(count, "\0".join(lookup_text(fields))):
                continue
            line = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            digest.update(line)
            self._file.write(line)
            count += 1
        self._again = seen.again()
        self._count = count - len(self._again)
        self.digest = digest.hexdigest()
        """A digest of all lookups and their order."""

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        again = iter(self._again)
        skipped = next(again, None)
        for number, line in enumerate(self._lines()):
            if number == skipped:
                skipped = next(again, None)
            else:
                yield from_json(line)

    def since(self, done: int) -> Iterator[dict[str, Any]]:
        """Iterate over the lookups after the first ``done``."""
        return islice(self, done, None)

    @property
    def texts(self) -> Texts:
        """``matching`` and ``lookup`` of each, as in the rows."""
        return Texts(self)

    def _lines(self) -> Iterator[bytes]:
        at, rest = 0, b""
        while True:
            with self._lock:
                self._file.seek(at)
                block = self._file.read(_BLOCK)
            if not block:
                return
            at += len(block)
            *lines, rest = (rest + block).split(b"\n")
            yield from lines


class Texts(Collection[tuple[str, str]]):
    """Pairs of ``matching`` and ``lookup``, to be iterated again and again."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    def __len__(self) -> int:
        return len(self._lookups)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return map(lookup_text, self._lookups)

    def __contains__(self, text: object) -> bool:
        return any(text == each for each in self)


class _KnownLookups:
    """Finds repeated lookups: among the first ones at once, among more by digests on the disk at the end."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._first: dict[bytes, None] = {}
        self._buckets: list[Any] = []

    def add(self, number: int, text: str) -> bool:
        """Add a text, and return whether it may be new."""
        digest = blake2b(text.encode(), digest_size=16).digest()
        if digest in self._first:
            return False
        if len(self._first) < self._most:
            self._first[digest] = None
            return True
        if not self._buckets:
            self._buckets = [tempfile.TemporaryFile(prefix="altcraft-") for _ in range(_BUCKETS)]  # noqa: SIM115
        self._buckets[digest[0] % _BUCKETS].write(digest + number.to_bytes(8, "big"))
        return True

    def again(self) -> array[int]:
        """Return the numbers of the texts that ``add`` took for new and were not, ascending."""
        again = array("Q")
        for bucket in self._buckets:
            with bucket:
                bucket.seek(0)
                seen: set[bytes] = set()
                while record := bucket.read(_RECORD):
                    if record[:16] in seen:
                        again.append(int.from_bytes(record[16:], "big"))
                    seen.add(record[:16])
        return array("Q", sorted(again))
