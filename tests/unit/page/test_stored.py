"""What is made of a row of Airflow's database."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import airflow
import pytest

if airflow.__version__.startswith("2."):
    pytest.skip("left out: Airflow 2.11 has no pages of plugins of this kind", allow_module_level=True)

from airflow_provider.altcraft.page._stored import _instance

AT = dt.datetime(2026, 1, 14, tzinfo=dt.UTC)
FOUND: Any = SimpleNamespace(
    dag_id="shop", run_id="r", task_id="t", map_index=-1, state="success", start_date=AT, end_date=AT, try_number=1
)
BACKEND = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"


def test_a_text_is_no_other_backend_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks return one, such as each BashOperator."""
    assert not _instance(FOUND, AT, "the last line").elsewhere
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", BACKEND)
    assert _instance(FOUND, AT, "s3://bucket/key").elsewhere
    assert not _instance(FOUND, AT, {"rows": 1}).elsewhere
    assert not _instance(FOUND, AT, None).elsewhere


def test_a_text_of_a_mapping_is_one() -> None:
    assert _instance(FOUND, AT, '{"rows": 1}').result == {"rows": 1}
