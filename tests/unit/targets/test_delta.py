"""What the target of Delta Lake says of its arguments."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider.altcraft.targets import DeltaTarget, resolve_target
from airflow_provider.altcraft.targets._days import Ranges
from airflow_provider.altcraft.targets.delta.errors import translated_errors
from airflow_provider.altcraft.targets.delta.place import Place
from airflow_provider.altcraft.targets.delta.table import predicate_of


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("delta+file:///a/b", DeltaTarget("/a/b")),
        ("delta+s3://c@lake/a/b/", DeltaTarget("s3://c@lake/a/b/")),
        ("delta+abfs://c@lake/b?write_disposition=replace", DeltaTarget("abfs://c@lake/b", "replace")),
        ("delta+gs://c@lake/b?timezone=Europe/Berlin", DeltaTarget("gs://c@lake/b", timezone="Europe/Berlin")),
    ],
)
def test_a_uri(uri: str, target: DeltaTarget) -> None:
    found = resolve_target(uri)
    assert isinstance(found, DeltaTarget)
    assert found.path.removeprefix("file://") == target.path
    assert (found.write_disposition, found.timezone) == (target.write_disposition, target.timezone)
    assert eval(repr(found), {"DeltaTarget": DeltaTarget}) == found


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("delta+s3://lake", "lacks a bucket or a key"),
        ("delta+s3://a:s3cr3t@lake/t", "has a password in it"),
        ("delta+file://a/b", "is not absolute"),
        ("delta+file:///a/{date}", "a table takes all days and shards"),
        ("delta+file:///a?mode=append", "option other than write_disposition and timezone"),
        ("delta+file:///a?write_disposition=append", "write_disposition: expected 'merge' or 'replace', got 'append'"),
        (
            "delta+file:///a?timezone=Mars/Base",
            "timezone: expected the IANA name of a time zone, such as Europe/Moscow, got 'Mars/Base'",
        ),
        ("delta+sftp://c@a/b", "Known are absolute paths and"),
    ],
)
def test_no_uri(uri: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        resolve_target(uri)
    assert "s3cr3t" not in str(refused.value)


def test_a_path_of_another_kind() -> None:
    with pytest.raises(ValueError, match="expected one of file://, s3://, abfs://, gs:// or an absolute path"):
        DeltaTarget("s3a://c@lake/t")


def test_templates_are_checked_once_rendered() -> None:
    target = DeltaTarget("{{ var.value.lake }}", "{{ params.how }}", timezone="{{ params.zone }}")
    target.path, target.write_disposition = "/a", "append"
    with pytest.raises(ValueError, match="write_disposition: expected"):
        target.open(None)  # type: ignore[arg-type]


def day(number: int) -> dt.date:
    return dt.date(2026, 1, 1) + dt.timedelta(days=number)


@pytest.mark.parametrize(
    ("days", "window", "sql"),
    [
        (
            [0, 1, 3],
            None,
            "(date >= '2026-01-01' AND date <= '2026-01-02') OR (date >= '2026-01-04' AND date <= '2026-01-04')",
        ),
        ([], (None, None), "true"),
        ([5], (day(0), None), "(date >= '2026-01-01') OR (date >= '2026-01-06' AND date <= '2026-01-06')"),
        ([*range(0, 200, 2)], None, "(date >= '2026-01-01' AND date <= '2026-07-18')"),
    ],
)
def test_ranges_of_days(days: list[int], window: Any, sql: str) -> None:
    assert predicate_of(Ranges.of(map(day, days), window)) == sql


def test_errors_keep_what_is_wrong_and_drop_rows() -> None:
    from deltalake.exceptions import CommitFailedError, DeltaError

    from airflow_provider.altcraft.targets.delta.errors import InTheWayError

    rows = "1 rows failed validation check.\nPreview of invalid data:\n| ann@example.com |"
    with pytest.raises(OSError, match=r"1 rows failed validation check\.…$"), translated_errors("delta+file:///a"):
        raise DeltaError(f"Invalid data found: {rows}")
    with pytest.raises(OSError, match=r"Merge matched…$"), translated_errors("delta+file:///a"):
        raise DeltaError("Merge matched ['ann@example.com']")
    with pytest.raises(InTheWayError, match="another writer"), translated_errors("delta+file:///a"):
        raise CommitFailedError("Failed to commit transaction: 3")
    with pytest.raises(InTheWayError, match="has made the table"), translated_errors("delta+file:///a"):
        raise DeltaError("Generic error: A table already exists at: file:///a/")
    with pytest.raises(ConnectionError, match=r"^delta\+file:///a: .*\?…$"), translated_errors("delta+file:///a"):
        raise ConnectionError("PUT https://store/a?X-Amz-Signature=abc")
    with (
        pytest.raises(OSError, match=r"written: Generic S3 error 501 Not Implemented$"),
        translated_errors("delta+file:///a"),
    ):
        raise OSError("Generic S3 error\n \x1b[31m↳\x1b[0m 501\n Not Implemented")


@pytest.mark.parametrize(
    ("extra", "options"),
    [
        ({"keyfile_dict": {"type": "service_account"}}, {"google_service_account_key": '{"type": "service_account"}'}),
        ({"keyfile_dict": '{"a": 1}'}, {"google_service_account_key": '{"a": 1}'}),
        ({"key_path": "/k.json"}, {"google_service_account_path": "/k.json"}),
        (
            {"is_anonymous": True, "gcs.endpoint": "http://127.0.0.1:9"},
            {"google_skip_signature": "true", "google_base_url": "http://127.0.0.1:9", "allow_http": "true"},
        ),
        ({}, {}),
    ],
)
def test_the_settings_for_google(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], options: dict[str, str]
) -> None:
    """The emulator of the tests does not speak the XML API, by which the library lists."""
    monkeypatch.setenv("AIRFLOW_CONN_G", json.dumps({"conn_type": "google_cloud_platform", "extra": extra}))
    assert Place("gs://g@lake/t").options() == options


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        (
            {"login": "shop", "password": "a2V5", "extra": {"account_name": "shop"}},
            {"azure_storage_account_key": "a2V5", "azure_storage_account_name": "shop"},
        ),
        (
            {"extra": {"connection_string": "AccountName=shop;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:9/shop"}},
            {
                "azure_storage_account_name": "shop",
                "azure_storage_account_key": "a2V5",
                "azure_storage_endpoint": "http://127.0.0.1:9/shop",
                "azure_allow_http": "true",
            },
        ),
    ],
)
def test_the_settings_for_azure(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], options: dict[str, str]
) -> None:
    conn_id = f"az{len(options)}"  # Airflow keeps what it has made of a connection
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "wasb", **fields}))
    assert Place(f"abfs://{conn_id}@lake/t").options() == options


def test_the_settings_for_amazon(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {
        "endpoint_url": "http://127.0.0.1:9",
        "region_name": "eu-north-1",
        "aws_session_token": "t",
        "verify": False,
        "config_kwargs": {"s3": {"addressing_style": "virtual"}},
    }
    monkeypatch.setenv(
        "AIRFLOW_CONN_A", json.dumps({"conn_type": "aws", "login": "k", "password": "s", "extra": extra})
    )
    assert Place("s3://a@lake/t").options() == {
        "AWS_REGION": "eu-north-1",
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ALLOW_HTTP": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "ALLOW_INVALID_CERTIFICATES": "true",
    }


def test_errors_of_arrow_show_no_value() -> None:
    with (
        pytest.raises(ValueError, match="do not fit the table: ArrowInvalid") as caught,
        translated_errors("delta+file:///a"),
    ):
        pa.array(["ann@example.com"]).cast(pa.int64())
    assert "ann" not in str(caught.value)
    assert caught.value.__suppress_context__
