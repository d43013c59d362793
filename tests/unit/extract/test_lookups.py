"""Profiles put aside on the disk: each once, in their order, whatever their number."""

from __future__ import annotations

import random

import pytest

from airflow_provider.altcraft.extract.profiles.lookups import Lookups


def fields(number: int) -> dict[str, str]:
    return {"matching": "email", "email": f"user{number}@example.com"}


@pytest.mark.parametrize("known", [0, 10, 1000])
def test_each_once_in_order(known: int) -> None:
    """Also of those that no longer fit into memory."""
    chance = random.Random(3)
    numbers = [chance.randrange(150) for _ in range(400)]
    wanted = [fields(number) for number in dict.fromkeys(numbers)]
    lookups = Lookups(map(fields, numbers), known)
    for _ in range(2):
        assert list(lookups) == wanted
    assert len(lookups) == len(wanted)
    assert list(lookups.since(7)) == wanted[7:]
    assert list(lookups.texts) == [("email", each["email"]) for each in wanted]
    assert len(lookups.texts) == len(wanted)
    assert ("email", wanted[3]["email"]) in lookups.texts
    assert ("email", "nobody@example.com") not in lookups.texts


def test_the_digest_is_of_all_and_of_their_order() -> None:
    assert Lookups(map(fields, [1, 2, 3])).digest == Lookups(map(fields, [1, 2, 3])).digest
    assert len({Lookups(map(fields, each)).digest for each in ([1, 2, 3], [1, 3, 2], [1, 2], [])}) == 4
