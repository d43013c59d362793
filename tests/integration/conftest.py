"""Servers that several integration tests use, each started once for the whole run."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from databases import database, duckdb, mariadb, postgres, sqlite  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class S3:
    """A bucket on a real S3 server, seen through boto3 and so without anything that is under test."""

    conn_id: str
    bucket: str
    endpoint: str
    client: Any

    def uri(self, key: str) -> str:
        """Return the path that a target or an ObjectStoragePath takes."""
        return f"s3://{self.conn_id}@{self.bucket}/{key}"

    def read(self, key: str) -> bytes:
        """Return an object's bytes; KeyError where there is none."""
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            raise KeyError(key) from None

    def put(self, key: str, body: bytes) -> None:
        """Put an object there."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def keys(self, prefix: str = "") -> list[str]:
        """List the keys that a reader sees."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def unfinished(self, prefix: str = "") -> list[str]:
        """List the keys of multipart uploads that nobody has finished."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=prefix)
        return [each["Key"] for each in found.get("Uploads", []) if each["Key"].startswith(prefix)]

    def guard(self, on: bool) -> None:
        """Have the server check keys and rights from now on, so that it refuses everybody; or no more."""
        after_requests = b"0" if on else b"inf"
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", data=after_requests)
        request.add_header("Content-Type", "text/plain")
        urllib.request.urlopen(request, timeout=10).close()


@contextlib.contextmanager
def _serve(conn_id: str) -> Iterator[S3]:
    """Run moto's server; the Airflow connection to it is in the environment, for subprocesses too."""
    import boto3

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _until_up(endpoint, server)
        login = {"login": "key", "password": "s3cr3t-of-s3"}
        # Few and quick retries: here a server that is gone stays gone.
        extra = {
            "endpoint_url": endpoint,
            "region_name": "us-east-1",
            "config_kwargs": {"connect_timeout": 5, "retries": {"total_max_attempts": 1}},
        }
        os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps({"conn_type": "aws", **login, "extra": extra})
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=login["login"],
            aws_secret_access_key=login["password"],
        )
        client.create_bucket(Bucket="lake")
        yield S3(conn_id, "lake", endpoint, client)
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """Give an empty bucket on a server that lives as long as the run; use keys of your own."""
    with _serve("altcraft_test_s3") as server:
        yield server


@pytest.fixture
def start_s3() -> Callable[[str], contextlib.AbstractContextManager[S3]]:
    """Give what starts a server of your own, to be ended; its connection's id must be new."""
    return _serve


def _until_up(endpoint: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert server.poll() is None, f"moto's server ended with {server.returncode}"
        try:
            urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=2).close()
        except (urllib.error.URLError, TimeoutError):
            assert time.monotonic() < deadline, "moto's server did not come up in a minute"
            time.sleep(0.1)
        else:
            return
