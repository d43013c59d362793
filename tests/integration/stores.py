"""Object stores to test against: real servers, each started at its first use and seen without anything under test."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
from tests.integration.relay import Relay, relay_to
from tests.ports import free_port

AZURITE = "azurite@3.35.0"  # the last for Node 20
# The account that Azurite comes with; its key is in its documentation.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# Else gcsfs asks by gRPC what kind of bucket it is, which the emulator does not speak, for half a minute. It looks at
# this when it is imported.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


class Store(Protocol):
    """A bucket on a real server, or a folder; use keys of your own."""

    def uri(self, key: str) -> str:
        """Return the path that a target or an ObjectStoragePath takes."""
        ...

    def read(self, key: str) -> bytes:
        """Return an object's bytes; KeyError where there is none."""
        ...

    def put(self, key: str, body: bytes) -> None:
        """Put an object there."""
        ...

    def keys(self, prefix: str = "") -> list[str]:
        """List the keys that a reader sees."""
        ...


@dataclass(frozen=True)
class S3:
    """A bucket on moto, seen through boto3."""

    conn_id: str
    bucket: str
    endpoint: str
    client: Any
    server: Relay | None

    def uri(self, key: str) -> str:
        return f"s3://{self.conn_id}@{self.bucket}/{key}"

    def read(self, key: str) -> bytes:
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            raise KeyError(key) from None

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def unfinished(self, prefix: str = "", *, empty: bool = True) -> list[str]:
        """List the keys of multipart uploads that nobody has finished, also of those without parts."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=prefix)
        return [
            each["Key"]
            for each in found.get("Uploads", [])
            if each["Key"].startswith(prefix) and (empty or self._parts(each["Key"], each["UploadId"]))
        ]

    def _parts(self, key: str, upload: str) -> list[Any]:
        return self.client.list_parts(Bucket=self.bucket, Key=key, UploadId=upload).get("Parts", [])

    def guard(self, on: bool) -> None:
        """Have the server check keys and rights from now on, so that it refuses everybody; or no more."""
        after_requests = b"0" if on else b"inf"
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", data=after_requests)
        request.add_header("Content-Type", "text/plain")
        urllib.request.urlopen(request, timeout=10).close()


@dataclass(frozen=True)
class Azure:
    """A container on Azurite, seen through Azure's own client."""

    conn_id: str
    bucket: str
    endpoint: str
    client: Any
    server: Relay | None

    def uri(self, key: str) -> str:
        return f"abfs://{self.conn_id}@{self.bucket}/{key}"

    def read(self, key: str) -> bytes:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return self.client.download_blob(key).readall()
        except ResourceNotFoundError:
            raise KeyError(key) from None

    def put(self, key: str, body: bytes) -> None:
        self.client.upload_blob(key, body, overwrite=True)

    def keys(self, prefix: str = "") -> list[str]:
        return [blob.name for blob in self.client.list_blobs(name_starts_with=prefix)]

    def unfinished(self, prefix: str = "") -> list[str]:
        """List the blobs that have blocks and no list of them."""
        seen = set(self.keys(prefix))
        blobs = self.client.list_blobs(name_starts_with=prefix, include=["uncommittedblobs"])
        return [blob.name for blob in blobs if blob.name not in seen]


@dataclass(frozen=True)
class Gcs:
    """A bucket on an emulator of Google's, seen through its HTTP API."""

    conn_id: str
    bucket: str
    endpoint: str
    server: Relay | None

    def uri(self, key: str) -> str:
        return f"gs://{self.conn_id}@{self.bucket}/{key}"

    def read(self, key: str) -> bytes:
        try:
            return self._ask(f"/storage/v1/b/{self.bucket}/o/{quote(key, safe='')}?alt=media")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise KeyError(key) from None
            raise

    def put(self, key: str, body: bytes) -> None:
        self._ask(f"/upload/storage/v1/b/{self.bucket}/o?uploadType=media&name={quote(key, safe='')}", body)

    def keys(self, prefix: str = "") -> list[str]:
        found = json.loads(self._ask(f"/storage/v1/b/{self.bucket}/o?prefix={quote(prefix, safe='')}"))
        return [each["name"] for each in found.get("items", [])]

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.endpoint + path, data=body)
        request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()


@dataclass(frozen=True)
class Disk:
    """A folder, with the same to ask as of a bucket."""

    folder: Path

    def uri(self, key: str) -> str:
        return f"file://{self.folder}/{key}"

    def read(self, key: str) -> bytes:
        try:
            return (self.folder / key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None

    def put(self, key: str, body: bytes) -> None:
        (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / key).write_bytes(body)

    def keys(self, prefix: str = "") -> list[str]:
        found = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
        return sorted(key for key in found if key.startswith(prefix))


@contextlib.contextmanager
def serve_s3(conn_id: str, *, relayed: bool = False) -> Iterator[S3]:
    """Run moto's server; the Airflow connection to it is in the environment, for subprocesses too."""
    import boto3

    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, f"{endpoint}/moto-api/"), relay_to(port, relayed) as relay:
        login = {"login": "key", "password": "s3cr3t-of-s3"}
        # Few and quick retries: here a server that is gone stays gone.
        extra = {
            "endpoint_url": f"http://127.0.0.1:{relay.port if relay else port}",
            "region_name": "us-east-1",
            "config_kwargs": {"connect_timeout": 5, "retries": {"total_max_attempts": 1}},
        }
        _connect(conn_id, {"conn_type": "aws", **login, "extra": extra})
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=login["login"],
            aws_secret_access_key=login["password"],
        )
        client.create_bucket(Bucket="lake")
        yield S3(conn_id, "lake", endpoint, client, relay)


@contextlib.contextmanager
def serve_azure(conn_id: str, *, relayed: bool = False) -> Iterator[Azure]:
    """Run Azurite, which is installed by npm once for all runs."""
    from azure.storage.blob import ContainerClient

    port = free_port()
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    with tempfile.TemporaryDirectory(prefix="altcraft-azurite-") as folder:
        command = ["node", str(_azurite()), "--silent", "--skipApiVersionCheck", "--inMemoryPersistence"]
        command += ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--disableTelemetry"]
        with _running(command, f"{endpoint}?comp=list", folder), relay_to(port, relayed) as relay:
            connection = (
                f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
                f"BlobEndpoint=http://127.0.0.1:{{port}}/{ACCOUNT};"
            )
            extra = {"connection_string": connection.format(port=relay.port if relay else port)}
            _connect(conn_id, {"conn_type": "wasb", "extra": extra})
            client = ContainerClient.from_connection_string(connection.format(port=port), "lake")
            client.create_container()
            yield Azure(conn_id, "lake", endpoint, client, relay)


@contextlib.contextmanager
def serve_gcs(conn_id: str, *, relayed: bool = False) -> Iterator[Gcs]:
    """Run the emulator of Google Cloud Storage."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="altcraft-gcs-") as folder:
        command = [sys.executable, str(Path(__file__).with_name("gcs_server.py")), str(port), folder]
        with _running(command, f"{endpoint}/storage/v1/b/lake", folder), relay_to(port, relayed) as relay:
            reached = f"http://127.0.0.1:{relay.port if relay else port}"
            extra = {"is_anonymous": True, "project": "altcraft-test", "gcs.endpoint": reached}
            _connect(conn_id, {"conn_type": "google_cloud_platform", "extra": extra})
            yield Gcs(conn_id, "lake", endpoint, relay)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """Give an empty bucket on a server that lives as long as the run; use keys of your own."""
    with serve_s3("altcraft_test_s3") as server:
        yield server


@pytest.fixture(scope="session")
def azure() -> Iterator[Azure]:
    """Give an empty container on a server that lives as long as the run; use keys of your own."""
    with serve_azure("altcraft_test_azure") as server:
        yield server


@pytest.fixture(scope="session")
def gcs() -> Iterator[Gcs]:
    """Give an empty bucket on a server that lives as long as the run; use keys of your own."""
    with serve_gcs("altcraft_test_gcs") as server:
        yield server


@pytest.fixture
def start_s3() -> Callable[[str], contextlib.AbstractContextManager[S3]]:
    """Give what starts a server of your own, to be ended; its connection's id must be new."""
    return serve_s3


def _azurite() -> Path:
    """Where Azurite is; installed into the user's cache at first, or skipped with a reason."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("Azurite comes from npm, which is not here")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "airflow-provider-altcraft" / AZURITE
    script = home / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not script.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        # Next to it, then renamed: another run may do the same at once.
        with tempfile.TemporaryDirectory(dir=home.parent) as folder:
            command = ["npm", "install", "--no-fund", "--no-audit", "--prefix", folder, AZURITE]
            ran = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
            if ran.returncode:
                pytest.skip(f"Azurite could not be installed by npm: {ran.stderr.strip()[-300:]}")
            with contextlib.suppress(OSError):
                Path(folder, "node_modules").rename(_made(home) / "node_modules")
    return script


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _connect(conn_id: str, connection: dict[str, Any]) -> None:
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)


@contextlib.contextmanager
def _running(command: list[str], url: str, folder: str | None = None) -> Iterator[None]:
    """Run a server from when it answers at all until the end."""
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert server.poll() is None, f"{command[:3]} ended with {server.returncode}"
            try:
                urllib.request.urlopen(url, timeout=2).close()
            except urllib.error.HTTPError:
                break
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                assert time.monotonic() < deadline, f"{command[:3]} did not come up in a minute"
                time.sleep(0.1)
            else:
                break
        yield
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
