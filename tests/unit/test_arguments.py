"""What DAG authors give: refused early and in words, or understood."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from airflow_provider.altcraft import _arguments as arguments
from airflow_provider.altcraft.client import ProfileLookup

ANN = ProfileLookup(email="ann@example.com")
CRM = {"matching": "custom", "field_name": "CRM_ID", "field_value": "7"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", False),
        ("{{ ds }}", True),
        ("{% if x %}", True),
        (["a", "{{ b }}"], True),
        ({"email": "{{ b }}"}, True),
        ({"email": "b"}, False),
        (None, False),
        (dt.date(2026, 1, 1), False),
    ],
)
def test_what_is_a_template(value: object, expected: bool) -> None:
    assert arguments.is_template(value) is expected


def test_an_xcom_is_known_only_at_run_time() -> None:
    from airflow.providers.common.compat.sdk import DAG, task

    with DAG("d", schedule=None):

        @task
        def profiles() -> list[str]:
            return ["ann@example.com"]

        assert arguments.is_template(profiles())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ann@example.com", [ANN]),
        (ANN, [ANN]),
        ({"email": "ann@example.com"}, [ANN]),
        (CRM, [ProfileLookup(**CRM)]),
        (["ann@example.com", CRM], [ANN, ProfileLookup(**CRM)]),
        (("ann@example.com",), [ANN]),
        ((profile for profile in ["ann@example.com"]), [ANN]),
        ('["ann@example.com", {"email": "ann@example.com"}]', [ANN]),
        ('{"email": "ann@example.com"}', [ANN]),
        ([], []),
        ("[]", []),
    ],
)
def test_profiles_in_every_form_each_once(given: Any, expected: list[ProfileLookup]) -> None:
    assert arguments.profiles_of(given) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (5, "one profile or a list"),
        (None, "one profile or a list"),
        (["ann@example.com", 5], r"profiles\[1\]: a profile is a string"),
        ([{"matching": "phone"}], r"profiles\[0\]: phone: missing"),
        ("['ann@example.com']", "tojson"),
        ("", r"profiles\[0\]: email"),
        (["no address"], r"profiles\[0\]: email"),
    ],
)
def test_profiles_that_do_not_fit(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        arguments.profiles_of(given)


def test_a_refusal_does_not_show_the_value() -> None:
    with pytest.raises(ValueError, match="phone") as caught:
        arguments.profiles_of([{"matching": "phone", "phone": "secret-person"}])
    assert "secret-person" not in str(caught.value)


@pytest.mark.parametrize(
    "constant", ["no address", ["ann@example.com", {"xxh": "short"}], {"matching": "nothing"}, [{"emial": "a@b"}]]
)
def test_constant_profiles_are_refused_at_the_parse(constant: object) -> None:
    with pytest.raises(ValueError, match=r"email|xxh|matching|emial"):
        arguments.check_profile_constants(constant)


@pytest.mark.parametrize(
    "open_yet", ["{{ x }}", ["{{ x }}", "ann@example.com"], {"email": "{{ x }}"}, ANN, [ANN], None]
)
def test_what_is_not_constant_waits(open_yet: object) -> None:
    arguments.check_profile_constants(open_yet)


def test_constant_windows() -> None:
    arguments.check_window_constants("2026-01-01", "{{ ds }}")
    arguments.check_window_constants(None, dt.date(2026, 1, 1))
    with pytest.raises(ValueError, match="date_to"):
        arguments.check_window_constants("{{ ds }}", "yesterday")
    with pytest.raises(ValueError, match="before"):
        arguments.check_window_constants("2026-01-02", "2026-01-01")


@pytest.mark.parametrize(("given", "expected"), [(None, None), (7, 7), ("7", 7), (" 7 ", 7)])
def test_list_id(given: object, expected: int | None) -> None:
    assert arguments.list_id_of(given) == expected


@pytest.mark.parametrize("wrong", ["", "seven", 0, -1, True, 1.5, "-3"])
def test_list_id_that_does_not_fit(wrong: object) -> None:
    with pytest.raises(ValueError, match="list_id"):
        arguments.list_id_of(wrong)
    with pytest.raises(ValueError, match="list_id"):
        arguments.check_list_id_constant(wrong)
    arguments.check_list_id_constant("{{ params.list_id }}")


def test_instants() -> None:
    assert arguments.instant_of("2026-01-02", "since") == dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert arguments.instant_of("2026-01-02T03:00:00+03:00", "since") == dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert arguments.instant_of(None, "since") is None
    with pytest.raises(ValueError, match="since"):
        arguments.instant_of("2026-01-02T03:00:00", "since")
