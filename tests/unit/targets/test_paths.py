"""Which paths a target takes, and what it says of the others."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import subprocess
import sys

import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, Target, TargetWriter, resolve_target
from airflow_provider.altcraft.targets.object_storage.format import _FORMATS, Encoder
from airflow_provider.altcraft.targets.object_storage.path import SUFFIXES, check


@pytest.mark.parametrize(
    ("path", "uri", "suffix", "local"),
    [
        ("/data/a.parquet", "file:///data/a.parquet", ".parquet", "/data/a.parquet"),
        ("//data/./b/../a.csv", "file:///data/a.csv", ".csv", "/data/a.csv"),
        ("file:///data/a b#c?d%20.csv.gz", "file:///data/a b#c?d%20.csv.gz", ".csv.gz", "/data/a b#c?d%20.csv.gz"),
        ("FILE:///data/a.jsonl", "file:///data/a.jsonl", ".jsonl", "/data/a.jsonl"),
        ("s3://bucket/a.ndjson.zst", "s3://bucket/a.ndjson.zst", ".ndjson.zst", None),
        ("s3://conn@bucket/d=1/a.b.parquet", "s3://conn@bucket/d=1/a.b.parquet", ".parquet", None),
        ("s3a://conn@bucket/ключ.jsonl.gz", "s3a://conn@bucket/ключ.jsonl.gz", ".jsonl.gz", None),
        ("gs://conn@bucket/a.csv", "gs://conn@bucket/a.csv", ".csv", None),
        ("ABFSS://conn@container/a.csv", "abfss://conn@container/a.csv", ".csv", None),
        ("oss://bucket/a.csv", "oss://bucket/a.csv", ".csv", None),
        ("/data/d={date}/a.csv", "file:///data/d={date}/a.csv", ".csv", "/data/d={date}/a.csv"),
        ("s3://c@b/{date}.csv", "s3://c@b/{date}.csv", ".csv", None),
        ("//data/./a/", "file:///data/a/", ".parquet", "/data/a/"),
        ("gs://c@b/data/", "gs://c@b/data/", ".parquet", None),
    ],
)
def test_a_good_path(path, uri, suffix, local):
    place = check(path)
    assert (place.uri, place.suffix, place.local) == (uri, suffix, local)
    assert check(place.uri) == place


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "neither absolute nor a URI"),
        ("data/a.parquet", "neither absolute nor a URI"),
        ("~/a.parquet", "neither absolute nor a URI"),
        ("file://data/a.parquet", "three slashes"),
        ("/", "is the root folder"),
        ("file:///", "is the root folder"),
        ("s3://c@b/", "lacks a bucket or a key"),
        ("s3://c@b/data//", "empty part"),
        ("/data/{date}/", "a folder for each day; name a file in it"),
        ("s3://c@{date}/a.csv", "{date} in its connection or bucket"),
        ("abfs://lake@account.dfs.core.windows.net/a.csv", "names an account; that is the connection's"),
        ("/data/a", "expected a suffix that names the format, one of .parquet, .jsonl,"),
        ("/data/a.parquet.gz", "expected a suffix that names the format, one of .parquet, .jsonl,"),
        ("/data/a.PARQUET", "expected a suffix that names the format"),
        ("/data/.parquet", "no name before it"),
        ("/data/{ds}.parquet", "double: {{ ds }}, and {date} is each day"),
        ("/data/{date.parquet", "double: {{ ds }}"),
        (" /data/a.parquet", "white space"),
        ("/data/a\n.parquet", "unprintable"),
        ("s3://c@b", "lacks a bucket or a key"),
        ("s3:///a.parquet", "lacks a bucket or a key"),
        ("s3://c@/a.parquet", "lacks a bucket or a key"),
        ("s3://b/a/../c.parquet", "'.' or '..'"),
        ("s3://b//c.parquet", "empty part"),
        ("sql://conn/schema.table", "sql:// is not supported"),
        ("https://b/a.parquet", "https:// is not supported"),
        (7, "got int"),
        (None, "got NoneType"),
    ],
)
def test_a_bad_path_is_refused_where_it_is_written(path, says):
    with pytest.raises(ValueError, match=r"^path: ") as refused:
        ObjectStorageTarget(path)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("path", "kind", "suffix"),
    [
        ("/data/", "jsonl.gz", ".jsonl.gz"),
        ("s3://c@b/data/", "csv", ".csv"),
        ("/data/a.csv", "csv", ".csv"),
        ("/data/{date}.csv.zst", "csv.zst", ".csv.zst"),
    ],
)
def test_a_format(path, kind, suffix):
    assert check(path, kind).suffix == suffix


@pytest.mark.parametrize(
    ("path", "arguments", "says"),
    [
        ("/data/", {"format": "orc"}, "^format: expected one of parquet, jsonl,"),
        ("/data/", {"format": ".csv"}, "^format: expected one of"),
        ("/data/", {"format": 7}, "^format: expected one of"),
        ("/data/a.parquet", {"format": "csv"}, "^format: 'csv' is not what the suffix of '/data/a.parquet' says"),
        ("/data/", {"part_rows": 0}, "^part_rows: expected a whole number from 1 on, got 0"),
        ("/data/", {"part_rows": "7"}, "^part_rows: expected a whole number"),
        ("/data/", {"part_rows": True}, "^part_rows: expected a whole number"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused(path, arguments, says):
    with pytest.raises(ValueError, match=says):
        ObjectStorageTarget(path, **arguments)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("s3://c@b/d/a.csv", "s3://c@b/d/a.csv.failed.jsonl"),
        ("s3://c@b/d/", "s3://c@b/d/_failed.jsonl"),
        ("/d/date={date}/x/a.csv", "file:///d/_date=2024-01-01_2024-01-31-x-a.csv.failed.jsonl"),
        ("s3://c@b/{date}.csv", "s3://c@b/_2024-01-01_2024-01-31.csv.failed.jsonl"),
    ],
)
def test_where_failed_profiles_are_listed(path, place):
    days = (dt.date(2024, 1, 1), dt.date(2024, 1, 31)) if "{" in path else None
    failures = check(path).failures(days)
    assert (failures.uri, failures.suffix) == (place, ".jsonl")
    assert failures.local == (place.removeprefix("file://") if path.startswith("/") else None)


def test_a_template_is_checked_once_rendered():
    target = ObjectStorageTarget("{{ var.value.lake }}/{% if 1 %}a{% endif %}")
    target.path = "sql://conn/table"
    with pytest.raises(ValueError, match="sql:// is not supported"):
        target.open(Scope(1, None))
    target.path = {"native": "object"}
    with pytest.raises(ValueError, match="got dict"):
        target.open(Scope(1, None))


def test_a_password_is_refused_and_shown_nowhere():
    with pytest.raises(ValueError, match="has a password") as refused:
        ObjectStorageTarget("s3://key:hush@bucket/a.parquet")
    assert "hush" not in str(refused.value)
    target = ObjectStorageTarget("s3://{{ x }}@bucket/{{ ds }}.parquet")
    target.path = "s3://key:hush@bucket/a.parquet"
    assert "hush" not in repr(target)
    with pytest.raises(ValueError, match="has a password") as refused:
        target.open(Scope(1, None))
    assert "hush" not in str(refused.value)


def test_every_suffix_has_its_format():
    for suffix in SUFFIXES:
        Encoder(suffix, bytes).drop()
    assert {"." + suffix.split(".")[1] for suffix in SUFFIXES} == set(_FORMATS)


def test_repr_and_equality_are_those_of_a_value():
    one, same, other = (ObjectStorageTarget(f"/data/{name}.csv") for name in "aab")
    assert repr(one) == repr(same) == "ObjectStorageTarget(path='/data/a.csv')"
    assert repr(ObjectStorageTarget("/d/", format="csv", part_rows=7)) == (
        "ObjectStorageTarget(path='/d/', format='csv', part_rows=7)"
    )
    assert ObjectStorageTarget("/d/") != ObjectStorageTarget("/d/", part_rows=7)
    assert one == same
    assert one != other
    assert one != "/data/a.csv"
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_resolve_target():
    target = ObjectStorageTarget("/data/a.csv")
    assert resolve_target(target) is target
    assert resolve_target("/data/a.csv") == target
    assert resolve_target("s3://c@b/{{ ds }}.csv") == ObjectStorageTarget("s3://c@b/{{ ds }}.csv")

    class Own:
        template_fields = ()

        def open(self, scope: Scope) -> TargetWriter:
            raise NotImplementedError

    own: Target = Own()
    assert resolve_target(own) is own


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "got NoneType"),
        (7, "got int"),
        (ObjectStorageTarget, "got the class ObjectStorageTarget"),
    ],
)
def test_what_is_no_target_is_refused(value, says):
    with pytest.raises(ValueError, match=r"s3://conn_id@bucket/key\.parquet") as refused:
        resolve_target(value)
    assert says in str(refused.value)


def test_a_dag_file_pays_for_no_heavy_import():
    code = (
        "import sys; from airflow_provider.altcraft.targets import resolve_target; resolve_target('s3://c@b/a.csv');"
        "print(sorted({'pyarrow', 'fsspec', 'pydantic', 'airflow', 's3fs'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
