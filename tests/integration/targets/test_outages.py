"""Stores that fail during a write: the server goes away and comes back, or the disk is full."""

from __future__ import annotations

import os
import shutil
import threading
from functools import partial
from multiprocessing import Pipe

import pytest

from airflow_provider.altcraft.testing.conformance import (
    FullDiskConformance,
    OutageConformance,
    draw_events,
    pull_of,
)
from airflow_provider.altcraft.testing.conformance.base import FIRST
from airflow_provider.altcraft.testing.conformance.killing import Forked, write
from airflow_provider.altcraft.testing.conformance.writing import put
from tests.integration.databases import of_duckdb, of_sqlite
from tests.integration.servers import own_server
from tests.integration.stores import serve_azure, serve_gcs, serve_s3
from tests.integration.targets import places
from tests.integration.targets.places import Bucket, Days, DltTables, Folder, Objects, Tables


@pytest.fixture(scope="module")
def s3():
    with serve_s3("altcraft_outage_s3", relayed=True) as store:
        yield store


@pytest.fixture(scope="module")
def impatient():
    """Few and quick retries by Azure's and Google's own libraries: a server that is gone stays gone for long."""
    from adlfs.spec import AIOBlobServiceClient
    from gcsfs import GCSFileSystem

    connect = AIOBlobServiceClient.from_connection_string
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            AIOBlobServiceClient, "from_connection_string", partial(connect, retry_total=1, initial_backoff=0.2)
        )
        patch.setattr(GCSFileSystem, "retries", 2)
        yield


@pytest.fixture(scope="module")
def azure(impatient):
    with serve_azure("altcraft_outage_azure", relayed=True) as store:
        yield store


@pytest.fixture(scope="module")
def gcs(impatient):
    with serve_gcs("altcraft_outage_gcs", relayed=True) as store:
        yield store


class Outage(Objects, OutageConformance):
    @pytest.fixture
    def server(self):
        return self.store.server


class TestS3(Outage):
    @pytest.fixture
    def place(self, s3):
        self.store = s3
        return Bucket(s3)


class TestS3Days(Days, TestS3):
    pass


class TestS3Folder(TestS3):
    shape = "/"


@pytest.mark.soak  # Azure's and Google's libraries try again for long before they give up
class TestAzure(Outage):
    @pytest.fixture
    def place(self, azure):
        self.store = azure
        return Bucket(azure)


class TestAzureFolder(TestAzure):
    shape = "/"


@pytest.mark.soak
class TestGcs(Outage):
    @pytest.fixture
    def place(self, gcs):
        self.store = gcs
        return Bucket(gcs)


class TestGcsFolder(TestGcs):
    shape = "/"


class TestDeltaS3(places.Delta, OutageConformance):
    """Its library does not outlive a fork: it writes in forks, which ask this process to stop and start the server."""

    @pytest.fixture
    def place(self, s3, monkeypatch):
        from airflow_provider.altcraft.targets.delta import place

        of_s3 = place._OPTIONS["s3"]
        impatient = {"max_retries": "1", "retry_timeout": "2s", "timeout": "5s"}
        monkeypatch.setitem(place._OPTIONS, "s3", lambda conn_id: of_s3(conn_id) | impatient)
        return Bucket(s3)

    @pytest.fixture
    def server(self, s3):
        return s3.server

    def write_during(self, target, pull, point, away):
        here, there = Pipe()

        def ask():
            there.send(None)
            there.recv()

        def serve():
            here.recv()
            away()
            here.send(None)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        try:
            Forked(lambda: write(target, pull, at=point, act=ask))
        finally:
            serving.join(30)
            assert not serving.is_alive(), "the write ended before the step"


class TestDeltaS3Replace(TestDeltaS3):
    keeps = "scope"
    disposition = "replace"


class Catalogs(places.Iceberg, OutageConformance):
    """Iceberg in a catalog on PostgreSQL, its files in a bucket."""

    outages = 3

    @pytest.fixture
    def catalog(self, database, s3):
        address = "postgresql+psycopg2://postgres@127.0.0.1:{port}/{dbname}".format(**database.arguments)
        properties = places.s3_properties(s3) | {"s3.endpoint": f"http://127.0.0.1:{s3.server.port}"}
        return places.Catalog(address, Bucket(s3), **properties)


class TestIcebergS3(Catalogs):
    @pytest.fixture
    def database(self, postgres):
        return postgres

    @pytest.fixture
    def server(self, s3):
        return s3.server


class OwnServer:
    """A database's server that is killed and started again."""

    kind = "postgres"

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls):
        with own_server(cls.kind) as server:
            yield server

    @pytest.fixture
    def database(self, server):
        return server.database


class TestPostgres(OwnServer, Tables, OutageConformance):
    pass


class TestIcebergCatalog(OwnServer, Catalogs):
    pass


class TestPostgresReplace(TestPostgres):
    keeps = "scope"
    disposition = "replace"


class TestPostgresAppend(TestPostgres):
    keeps = "all"
    disposition = "append"


class TestMariaDB(OwnServer, Tables, OutageConformance):
    kind = "mariadb"


class TestDltOnPostgres(OwnServer, DltTables, OutageConformance):
    pass


class Full(FullDiskConformance):
    @pytest.fixture
    def space(self, small):
        return small


class TestFullLocal(Objects, Full):
    @pytest.fixture
    def place(self, small):
        return Folder(small.path / "lake")


class TestFullLocalDays(Days, TestFullLocal):
    pass


class TestFullLocalFolder(TestFullLocal):
    shape = "/"


class TestFullDelta(places.Delta, TestFullLocal):
    pass


class TestFullIceberg(places.Iceberg, Full):
    """The disk of its files; the catalog is elsewhere."""

    @pytest.fixture
    def catalog(self, tmp_path, small):
        return places.Catalog(f"sqlite:///{tmp_path}/catalog.db", Folder(small.path / "lake"))

    def leftovers(self, target):
        """Give data files that no version names, too: here there is no more room for them."""
        files = self.catalog.connect().load_table("lake.history").inspect.all_files()["file_path"].to_pylist()
        named = {path.rpartition("/")[2] for path in files}
        there = [name for name in self.catalog.place.names() if name.endswith(".parquet")]
        return [*super().leftovers(target), *(name for name in there if name.rpartition("/")[2] not in named)]

    def test_the_error_does_not_say_that_another_disk_is_full(self, target, space):
        space.fill()
        with pytest.raises(OSError, match=r"iceberg://\S+/lake.history: .*No space left on device"):
            put(target, pull_of(draw_events(4_000), FIRST))


class TestFullSqlite(Tables, Full):
    @pytest.fixture
    def database(self, small):
        return of_sqlite("altcraft_full_sqlite", small.path / "events.db")


class TestFullDuckDB(Tables, Full):
    @pytest.fixture
    def database(self, small):
        return of_duckdb("altcraft_full_duckdb", small.path / "events.duckdb")


class TestFullDltOnDuckDB(DltTables, TestFullDuckDB):
    pass


class TestFullPostgres(OwnServer, Tables, Full):
    @pytest.fixture
    def database(self, server, small):
        """What is not the server's own lies on the small disk; without room for its log the server itself would end."""
        if os.geteuid() == 0:
            shutil.chown(small.path, "postgres")
        run = server.database.execute
        run(f"CREATE TABLESPACE small LOCATION '{small.path}'")
        run("ALTER ROLE postgres SET default_tablespace = small")
        run("ALTER ROLE postgres SET temp_tablespaces = small")
        yield server.database
        run("ALTER ROLE postgres RESET ALL")
