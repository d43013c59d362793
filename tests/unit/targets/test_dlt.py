"""What dlt's target refuses, and how it shows itself."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider.altcraft.targets import Scope
from airflow_provider.altcraft.targets.dlt import DltTarget, from_uri
from airflow_provider.altcraft.targets.dlt.load import Load


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "conn_id, destination: expected one of the two, got neither"),
        ({"conn_id": "c", "destination": "duckdb"}, "conn_id, destination: expected one of the two, got both"),
        ({"conn_id": "c", "write_disposition": "replace"}, "'replace' is not taken"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        DltTarget("lake.history", **arguments)


@pytest.mark.parametrize("uri", ["dlt://c@d/lake.history", "dlt://c/lake.history?x=1", "dlt://c/lake.history#a"])
def test_what_is_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="is not a URI such as") as refused:
        from_uri(uri)
    assert "c@d" not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("dlt://c/lake.history", "DltTarget('lake.history', conn_id='c')"),
        ("dlt:///lake.history?destination=duckdb", "DltTarget('lake.history', destination='duckdb')"),
    ],
)
def test_it_is_shown_by_its_arguments(uri: str, shown: str) -> None:
    target = from_uri(uri)
    assert target.uri == uri
    assert repr(target) == shown
    assert target == from_uri(uri)


def test_a_destinations_credentials_are_not_shown() -> None:
    def warehouse(**options: Any) -> Any:
        raise AssertionError("nobody asked for it")

    target = DltTarget("lake.history", destination=partial(warehouse, credentials="postgresql://u:s3cr3t@h/d"))
    assert repr(target) == "DltTarget('lake.history', destination='warehouse')"
    assert "s3cr3t" not in target.uri


def test_a_destination_that_cannot_merge_at_once_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot merge in one transaction"):
        DltTarget("lake.history", destination="filesystem").open(Scope(1, None))


def test_a_connection_that_is_not_there_is_reported() -> None:
    with pytest.raises(ValueError, match="nobody"):
        DltTarget("lake.history", conn_id="nobody").open(Scope(1, None))


def test_an_interruption_comes_out_as_it_is() -> None:
    """Between two steps of dlt's it is hidden behind an error of dlt's own, which is a ``ValueError``."""
    from dlt.common.configuration.exceptions import ContainerInjectableContextMangled

    class Interrupted(BaseException):
        """Airflow's time-outs are none of ``Exception``."""

    def restore() -> None:
        try:
            raise Interrupted
        finally:
            raise ContainerInjectableContextMangled(object, object(), object())

    with pytest.raises(Interrupted), Load._translated_errors(SimpleNamespace(_uri="dlt://warehouse/lake.history")):
        restore()
