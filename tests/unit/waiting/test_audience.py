"""Whose actions are watched."""

from __future__ import annotations

import pytest

from airflow_provider.altcraft.waiting.audience import Audience


def test_lookups_that_stand_alike_in_the_rows_are_one() -> None:
    """As in a pull: the platform would be asked twice for the same."""
    custom = {"matching": "custom", "field_name": "CRMID"}
    found = Audience.of([custom | {"field_value": 7}, custom | {"field_value": "7"}, "ann@example.com"], 1)
    assert found.profiles is not None
    assert [fields.get("field_value") for fields in found.profiles] == [7, None]


@pytest.mark.parametrize(("profiles", "said"), [([], "at least one"), (lambda: iter(()), "a function"), (7, "got int")])
def test_what_names_nobody_is_refused(profiles: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Audience.of(profiles, 1)
