"""What tells which of two pulls of the same is the later, for each target that keeps it."""

from __future__ import annotations

import logging
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets._protocols import Scope

log = logging.getLogger(__name__)


def lookups_digest(scope: Scope) -> str:
    """What tells the scope's lookups from others; they may be millions."""
    if scope.lookups is None:
        return "all"
    digest = blake2b(digest_size=16)
    for pair in scope.lookups:
        digest.update(repr(pair).encode())
    return digest.hexdigest()


def say_overtaken(what: str, began: str) -> None:
    """Say that what is there stays."""
    log.warning("%s: a pull of the same that began later, at %s, has written this already, so it stays", what, began)
