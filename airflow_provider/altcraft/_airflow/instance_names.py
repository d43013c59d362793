"""Names of the instances of a mapped task in Airflow's UI, instead of numbers: ``3 of 8``, ``a***@example.com``.

Used where the DAG gives no ``map_index_template``. Names of profiles are masked, as everybody who sees the DAG sees
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_provider.altcraft._arguments import is_function, pair_of, profiles_of
from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.client._lookup import masked

TEMPLATE: Final = "{{ task.instance_name or ti.map_index }}"
"""The ``map_index_template`` of a mapped task whose operator has an ``instance_name``."""

_LONGEST: Final = 10_000
"""A longer text with a list of profiles is not read for a name."""


def name_by_shard(shard: Any) -> str:
    """Return ``3 of 8`` for ``(2, 8)``; an empty text without a shard, or where it does not fit."""
    try:
        pair = pair_of(shard, "shard")
    except ValueError:
        return ""
    return "" if pair is None else f"{pair[0] + 1} of {pair[1]}"


def name_by_profiles(profiles: Any) -> str:
    """Return the masked name of one profile, or the number of several; an empty text where it is not known yet."""
    if isinstance(profiles, list | tuple) and len(profiles) != 1:
        return counted(len(profiles), "profile")
    known = isinstance(profiles, list | tuple | Mapping | str) or hasattr(profiles, "fields")
    if not known or is_function(profiles) or (isinstance(profiles, str) and len(profiles) > _LONGEST):
        return ""
    try:
        found = profiles_of(profiles)
    except ValueError:
        return ""
    return masked(found[0].fields) if len(found) == 1 else counted(len(found), "profile")
