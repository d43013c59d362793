"""Every target over its real store, by the suite that users run on their own."""

from __future__ import annotations

import time

import pytest

from airflow_provider.altcraft.testing.conformance import TargetConformance
from tests.integration.targets import places
from tests.integration.targets.places import Bucket, Days, Folder


class Objects(places.Objects, TargetConformance):
    kill_rows = 90


class Short:
    """A variant of a target."""

    left_out = dict.fromkeys(
        ("test_a_large_pull", "test_killed_at_any_point_and_run_again"),
        "it costs most, and is alike in the twin of this target",
    )


class Replaced:
    keeps = "scope"
    disposition = "replace"


class Appended:
    keeps = "all"
    disposition = "append"


class Local:
    @pytest.fixture
    def place(self, tmp_path):
        return Folder(tmp_path / "lake")


class TestLocal(Local, Objects):
    pass


class TestLocalLines(Short, Local, Objects):
    shape = "/history.jsonl"


class TestLocalCsv(Short, Local, Objects):
    shape = "/history.csv.gz"


class TestLocalDays(Local, Days, Objects):
    pass


class TestLocalFolder(Local, Objects):
    shape = "/"


class TestS3(Objects):
    @pytest.fixture
    def place(self, s3):
        return Bucket(s3)


class TestS3Days(Short, Days, TestS3):
    pass


class TestS3Folder(TestS3):
    shape = "/"


class TestAzure(Objects):
    @pytest.fixture
    def place(self, azure):
        return Bucket(azure)


class TestAzureDays(Short, Days, TestAzure):
    pass


class TestAzureFolder(Short, TestAzure):
    shape = "/"


class TestGcs(Objects):
    @pytest.fixture
    def place(self, gcs):
        return Bucket(gcs)


class TestGcsDays(Short, Days, TestGcs):
    pass


class TestGcsFolder(Short, TestGcs):
    shape = "/"


class Delta(places.Delta, TargetConformance):
    kill_rows = 90
    kill_points = 6  # most of a commit is within the library, where no step is counted
    memory = 300 << 20  # the library's own, which holds a row group of each day


class TestDeltaLocal(Local, Delta):
    pass


class TestDeltaLocalReplace(Local, Short, Replaced, Delta):
    pass


class TestDeltaS3(Delta):
    @pytest.fixture
    def place(self, s3):
        return Bucket(s3)


@pytest.mark.soak
class TestDeltaLocalReplaceWhole(Local, Replaced, Delta):
    pass


@pytest.mark.soak
class TestDeltaS3Replace(Replaced, TestDeltaS3):
    pass


class Iceberg(places.Iceberg, TargetConformance):
    kill_rows = 90
    kill_points = 6  # most of a commit is within the library, where no step is counted
    memory = 200 << 20  # the rows of a file are sorted by the library, which takes them twice


class TestIcebergLocal(Local, Iceberg):
    @pytest.fixture
    def catalog(self, tmp_path, place):
        return places.Catalog(f"sqlite:///{tmp_path}/catalog.db", place)


class TestIcebergLocalReplace(Short, Replaced, TestIcebergLocal):
    pass


@pytest.mark.soak
class TestIcebergLocalReplaceWhole(Replaced, TestIcebergLocal):
    pass


@pytest.mark.soak
class TestIcebergSqliteS3(Iceberg):
    @pytest.fixture
    def catalog(self, tmp_path, s3):
        return places.Catalog(f"sqlite:///{tmp_path}/catalog.db", Bucket(s3), **places.s3_properties(s3))


class OfPostgres:
    """A catalog there."""

    @pytest.fixture
    def address(self, postgres):
        return f"postgresql+psycopg2://postgres@127.0.0.1/{postgres.arguments['dbname']}"


class TestIcebergS3(OfPostgres, Iceberg):
    @pytest.fixture
    def catalog(self, address, s3):
        return places.Catalog(address, Bucket(s3), **places.s3_properties(s3))


@pytest.mark.soak
class TestIcebergS3Replace(Replaced, TestIcebergS3):
    pass


@pytest.mark.soak
class TestIcebergPostgresLocal(OfPostgres, Iceberg):
    @pytest.fixture
    def catalog(self, address, tmp_path):
        return places.Catalog(address, Folder(tmp_path / "lake"))


class Tables(places.Tables, TargetConformance):
    kill_rows = 90


class TestPostgres(Tables):
    nul = False

    @pytest.fixture
    def database(self, postgres):
        return postgres


class TestPostgresReplace(Short, Replaced, TestPostgres):
    pass


class TestPostgresAppend(Short, Appended, TestPostgres):
    pass


class TestMariaDB(Tables):
    @pytest.fixture
    def database(self, mariadb):
        return mariadb


class TestMariaDBReplace(Short, Replaced, TestMariaDB):
    pass


class TestMariaDBAppend(Short, Appended, TestMariaDB):
    pass


class TestSqlite(Tables):
    @pytest.fixture
    def database(self, sqlite):
        return sqlite


class TestSqliteReplace(Short, Replaced, TestSqlite):
    pass


class TestSqliteAppend(Short, Appended, TestSqlite):
    pass


class TestDuckDB(Tables):
    memory = 512 << 20  # the database's own, which is bounded by its settings

    @pytest.fixture
    def database(self, duckdb):
        return duckdb


class TestDuckDBReplace(Short, Replaced, TestDuckDB):
    pass


class TestDuckDBAppend(Short, Appended, TestDuckDB):
    pass


class TestDuckDBByCommunity(Short, TestDuckDB):
    @pytest.fixture
    def database(self, duckdb_by_community):
        return duckdb_by_community


class Dlt(places.DltTables, Tables):
    nul = False


class TestDltOnPostgres(Dlt):
    @pytest.fixture
    def database(self, postgres):
        return postgres


class TestDltOnDuckDB(Dlt):
    memory = 512 << 20  # the database's own, which is bounded by its settings
    left_out = {  # noqa: RUF012
        "test_a_reader_never_sees_a_part": "DuckDB opens a file for one process at a time: while it is read, dlt is "
        "refused, and the task fails to be retried"
    }

    @pytest.fixture
    def database(self, duckdb):
        return duckdb

    def read(self, target):
        import duckdb

        deadline = time.monotonic() + 60
        while True:
            try:
                return super().read(target)
            except duckdb.Error as error:  # closed to readers of its file while dlt has it open
                if "already attached" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
