"""Helpers for targets in which the later of two pulls of the same list and lookups wins."""

from __future__ import annotations

import logging
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets._protocols import Scope

log = logging.getLogger(__name__)


def lookups_digest(scope: Scope) -> str:
    """Return a digest of the scope's lookups, which may be millions."""
    if scope.lookups is None:
        return "all"
    digest = blake2b(digest_size=16)
    for pair in scope.lookups:
        digest.update(repr(pair).encode())
    return digest.hexdigest()


def say_overtaken(what: str, began: str) -> None:
    """Log that the rows of a later pull stay."""
    log.warning("%s: a pull of the same that began later, at %s, has written this already, so it stays", what, began)
