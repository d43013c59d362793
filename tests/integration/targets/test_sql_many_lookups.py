"""A replacement by very many lookups, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pytest

from airflow_provider.altcraft.targets import Scope
from airflow_provider.altcraft.testing.conformance.killing import Forked, peak, reset_peak


class Numbered(Collection[tuple[str, str]]):
    """Lookups by number, made as they are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return (("custom", f"CRM_ID={number:012}") for number in range(self.count))

    def __contains__(self, pair: object) -> bool:
        raise AssertionError("nobody asks for one of a million")


def peak_of(target: Any, batch: Any, lookups: int) -> float:
    """MB that a replacement takes beyond what its process has before it."""
    reset_peak()
    before = peak()
    writer = target.open(Scope(1, Numbered(lookups)))
    writer.write(batch)
    writer.commit()
    return (peak() - before) / 2**20


@pytest.mark.parametrize("lookups", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_a_replacement_by_many_lookups(database: Any, batch: Any, lookups: int) -> None:
    """Rows of other lookups, and those of these lookups in another list, stay."""
    if database.kind == "duckdb":
        lookups = max(lookups, 150_000)  # more than a row group
    table = database.new_table()
    target = database.target(table, "append")
    *_, (matching, last) = Numbered(lookups)
    kept = [
        batch(5, matching="custom", lookup=f"CRM_ID={lookups:012}"),
        batch(5, 10, matching="email", lookup=last),
        batch(5, 20, matching=matching, lookup=last, list_id=2),
    ]
    writer = target.open(Scope(1, None))
    for each in [*kept, batch(5, 30, matching=matching, lookup=last), batch(5, 40, matching=matching, lookup=last)]:
        writer.write(each)
    writer.commit()
    new = batch(7, 50, matching=matching, lookup=last)
    grown = Forked(lambda: peak_of(database.target(table, "replace"), new, lookups)).value
    print(f"{database.kind}: {lookups:,} lookups, {grown:.0f} MB")
    wanted = [row for each in [*kept, new] for row in each.to_pylist()]
    assert sorted(database.rows(table), key=repr) == sorted(wanted, key=repr)
    if database.kind != "duckdb":  # whose server is in the process
        assert grown < 50
