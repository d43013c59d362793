"""Where profiles stand: read row by row from files of every kind, refused in words, split into stable shards."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.client import AltcraftClient, AltcraftError
from airflow_provider.altcraft.client._lookup import check_lookup
from airflow_provider.altcraft.extract.sources import FileProfiles, PlatformProfiles, ProfileSource, _files, shard_of
from airflow_provider.altcraft.testing import Emulator, faults

NOBODY: Any = None
CRM: dict[str, Any] = {"matching": "custom", "fixed": {"field_name": "CRM_ID"}, "columns": "crm"}


def read(source: ProfileSource) -> list[dict[str, Any]]:
    return list(source.lookups(NOBODY, 1))


def email(value: str) -> dict[str, str]:
    return {"matching": "email", "email": value}


class TestFiles:
    """Each format, packed in each way."""

    ROWS = (("ann@example.com", 7), ("bob@example.com", -8), ("жук@example.com", 2**62))

    @pytest.fixture
    def write(self, tmp_path: Path) -> Callable[..., str]:
        def write(name: str, body: bytes) -> str:
            path = tmp_path / name
            path.write_bytes(body)
            return str(path)

        return write

    @pytest.mark.parametrize("packed", ["", ".gz", ".zst", ".bz2"])
    @pytest.mark.parametrize("kind", ["csv", "jsonl", "ndjson"])
    def test_text(self, write: Callable[..., str], kind: str, packed: str) -> None:
        lines = (
            ["crm,mail", *(f'"{number}",{mail}' for mail, number in self.ROWS)]
            if kind == "csv"
            else [json.dumps({"mail": mail, "crm": number, "more": {}}) for mail, number in self.ROWS]
        )
        body = "\r\n".join(lines).encode()
        pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": pa.Codec("zstd").compress}[packed]
        if packed == ".gz":  # as logs are put together
            packed_body = gzip.compress(body[:20]) + gzip.compress(body[20:])
        else:
            packed_body = bytes(memoryview(pack(body)))
        path = write(f"profiles.{kind}{packed}", packed_body)
        assert read(FileProfiles(path, columns="mail")) == [email(mail) for mail, _ in self.ROWS]
        values = [each["field_value"] for each in read(FileProfiles("file://" + path, **CRM))]
        assert values == [str(number) if kind == "csv" else number for _, number in self.ROWS]

    def test_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "profiles.parquet"
        rows = self.ROWS * (_files.ROWS // 2)  # more than are decoded at once
        mails = pa.array([mail for mail, _ in rows]).dictionary_encode()
        numbers = [number for _, number in rows]
        pq.write_table(pa.table({"mail": mails, "crm": numbers, "a": [{"mail": 1}] * len(rows)}), path)
        assert read(FileProfiles(str(path), columns="mail")) == [email(mail) for mail, _ in rows]
        assert [each["field_value"] for each in read(FileProfiles(str(path), **CRM))] == numbers

    @pytest.mark.parametrize(
        ("name", "body"),
        [("a.csv", b""), ("a.csv", b"email\n"), ("a.jsonl", b"\n"), ("a.csv.gz", gzip.compress(b"", mtime=0))],
    )
    def test_nobody_is_no_error(self, write: Callable[..., str], name: str, body: bytes) -> None:
        assert read(FileProfiles(write(name, body))) == []

    def test_a_table_for_people(self, write: Callable[..., str]) -> None:
        """A mark of the byte order, other delimiters, quotes with line breaks in them, blank lines."""
        path = write("a.csv", '\ufeffemail;"no\nte"\r\nann@example.com;"x;\r\ny"\r\n\r\nbob@example.com;\r\n'.encode())
        source = FileProfiles(path, delimiter=";")
        assert read(source) == [email("ann@example.com"), email("bob@example.com")]

    @pytest.mark.parametrize(
        ("name", "body", "said"),
        [
            ("a.csv", b"mail\nann@example.com\n", "a.csv: column 'email' is missing; there are 'mail'"),
            ("a.csv", b"email,email\n", "a.csv: column 'email' is twice"),
            ("a.csv", b"email,n\na@b,1\n\n,2\n", "a.csv, line 4, column 'email': there is no value"),
            (
                "a.csv",
                b"email,n\na@b,1\nsecret,2\n",
                "a.csv, line 3, column 'email': email: expected an e-mail address$",
            ),
            ("a.csv", b"email,n\na@b\n", "a.csv, line 2: 1 columns, where the header has 2"),
            ("a.csv", b'email\n"a@b" x\n', "a.csv, line 2: not CSV"),
            ("a.csv", b'email\n"a@b\n' + b"x" * 200_000, "a.csv, line 3: not CSV: field larger"),
            ("a.csv", b"email\na@b\n\xff@b\n", "a.csv, line 3: not UTF-8"),
            ("a.jsonl", b'{"email": "a@b"}\n[]\n', "a.jsonl, line 2: expected a JSON object"),
            ("a.jsonl", b'{"email": "a@b"}\n{"email"', "a.jsonl, line 2: expected a JSON object"),
            ("a.jsonl", b'{"email": "a@b"}\n{"email": null}', "a.jsonl, line 2, column 'email': there is no value"),
            (
                "a.jsonl",
                b'{"email": 5}',
                "a.jsonl, line 1, column 'email': email: expected an e-mail address, got a whole number; write",
            ),
            ("a.jsonl", b'{"email": "\xff"}', "a.jsonl, line 1: not UTF-8"),
            ("a.csv.gz", b"email\na@b\n", "a.csv.gz, after line 0: cannot be read"),
            (
                "a.csv.gz",
                gzip.compress(b"email\n" * 999, mtime=0)[:-12],
                "a.csv.gz, after line .*: cannot be read: Truncated",
            ),
            ("a.parquet", b"", "a.parquet: cannot be read as Parquet"),
            ("a.parquet", b"PAR1" * 9, "a.parquet: cannot be read as Parquet"),
        ],
    )
    def test_what_cannot_be_understood(self, write: Callable[..., str], name: str, body: bytes, said: str) -> None:
        with pytest.raises(ValueError, match=said) as caught:
            read(FileProfiles(write(name, body)))
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("column", "said"),
        [
            (
                pa.array([1.0, 2.5]),
                r"row 1, column 'crm': field_value: expected a whole .* got a floating-point number; write 'crm'",
            ),
            (pa.array([2**63 - 1, 2**63], pa.uint64()), "row 2, column 'crm': field_value: expected a whole number"),
            (pa.array(["a", None]), "row 2, column 'crm': there is no value"),
            (pa.array(["a", " "]), "row 2, column 'crm': there is no value"),
            (pa.array([b"a", b"b"]), "row 1, column 'crm': field_value: .* got bytes; write 'crm' as text"),
            (
                pa.Array.from_buffers(
                    pa.string(), 2, [None, pa.array([0, 1, 2], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff")]
                ),
                "row 2: not UTF-8",
            ),
        ],
    )
    def test_values_of_parquet_that_do_not_fit(self, tmp_path: Path, column: Any, said: str) -> None:
        pq.write_table(pa.table({"crm": column}), tmp_path / "a.parquet")
        with pytest.raises(ValueError, match="a.parquet, " + said):
            read(FileProfiles(str(tmp_path / "a.parquet"), **CRM))
        with pytest.raises(ValueError, match="column 'email' is missing; there are 'crm'"):
            read(FileProfiles(str(tmp_path / "a.parquet")))

    def test_rows_without_a_value_may_be_left_out(
        self, write: Callable[..., str], caplog: pytest.LogCaptureFixture
    ) -> None:
        path = write("a.jsonl", b'{"email": "a@b"}\n{"email": " "}\n{}\n{"email": "c@d"}\n')
        assert read(FileProfiles(path, skip_empty=True)) == [email("a@b"), email("c@d")]
        assert "left out 2 rows" in caplog.text
        with pytest.raises(ValueError, match="column 'mail' is in no row"):
            read(FileProfiles(path, columns="mail", skip_empty=True))

    def test_either_of_two(self, write: Callable[..., str]) -> None:
        path = write("a.csv", b"email,tel\na@b,\n,+79000000000\nc@d,+79000000001\n,\n")
        columns = {"email": "email", "phone": "tel"}
        source = FileProfiles(path, matching="email_phone", columns=columns)
        with pytest.raises(ValueError, match="line 5"):
            read(source)
        source.skip_empty = True
        found = read(source)
        assert found == [
            {"matching": "email_phone", "email": "a@b"},
            {"matching": "email_phone", "phone": "+79000000000"},
            {"matching": "email_phone", "email": "c@d", "phone": "+79000000001"},
        ]
        assert list(map(check_lookup, found)) == found

    def test_what_may_pass_is_no_fault_of_the_file(self, write: Callable[..., str], monkeypatch: Any) -> None:
        """So that Airflow retries."""
        with pytest.raises(FileNotFoundError):
            read(FileProfiles(write("a.csv", b"") + ".csv"))

        class Gone(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def readinto(self, _: object) -> int:
                raise ConnectionResetError(errno.ECONNRESET, "gone")

        monkeypatch.setattr(_files, "_open", lambda _: Gone())
        with pytest.raises(ConnectionResetError):
            read(FileProfiles("/a.csv"))

    def test_memory_is_flat(self, tmp_path: Path) -> None:
        """Peak of Python's own memory while ten times the rows are read; Arrow's is bounded by its batches."""

        def peak(rows: int) -> int:
            path = tmp_path / f"{rows}.csv"
            with path.open("w") as file:
                file.write("email\n")
                file.writelines(f"user{number}@example.com\n" for number in range(rows))
            tracemalloc.start()
            try:
                assert sum(1 for _ in FileProfiles(str(path)).lookups(NOBODY, 1)) == rows
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        peak(100)
        assert peak(50_000) < peak(5_000) + 100_000


class TestArguments:
    """What does not fit together is refused when the DAG file is parsed."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"matching": "mail"}, "matching: expected one of xxh, email"),
            ({"matching": "custom", "columns": "x"}, "columns: name those of field_name and field_value by a mapping"),
            ({"columns": {"phone": "x"}}, "columns: 'phone' is not a field"),
            ({"columns": {}}, "columns: missing for email"),
            ({"matching": "custom", "columns": {"field_name": "x"}}, "columns: missing for field_value"),
            ({"fixed": {"phone": "1"}}, "fixed: 'phone' is not a field"),
            ({"fixed": {"email": "a@b"}}, "fixed: at least one"),
            ({"matching": "custom", "fixed": {"field_name": "a=b"}}, "field_name"),
            ({"path": "a.csv"}, "neither absolute"),
            ({"path": "/a.txt"}, "suffixes"),
            ({"path": "/a.parquet.gz"}, "suffixes"),
            ({"path": "s3://key:secret@bucket/a.csv"}, "password"),
            ({"delimiter": ""}, "delimiter"),
        ],
    )
    def test_refused(self, arguments: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said) as caught:
            FileProfiles(**{"path": "/a.csv"} | arguments)
        assert "secret" not in str(caught.value)

    def test_every_mode_gives_what_a_lookup_is(self, tmp_path: Path) -> None:
        row = {
            "email": "a@b",
            "phone": "+79000000000",
            "profile_id": "6" * 24,
            "xxh": "9202595093f237d4",
            "provider": "ios-apn",
            "subscription_id": "t",
            "field_name": "CRM_ID",
            "field_value": 7,
        }
        (tmp_path / "a.jsonl").write_text(json.dumps(row))
        from airflow_provider.altcraft.client._lookup import MATCHING

        for mode in ("xxh", *MATCHING):
            (found,) = read(FileProfiles(str(tmp_path / "a.jsonl"), matching=mode))
            assert check_lookup(found) == found


class TestPlatform:
    """The platform's own list, page by page."""

    @pytest.fixture
    def client(self, altcraft_api: Emulator) -> Iterator[AltcraftClient]:
        with AltcraftClient(altcraft_api.url, altcraft_api.token) as client:
            yield client

    def test_all_or_some(self, altcraft_api: Emulator, client: AltcraftClient) -> None:
        altcraft_api.seed(profiles=25)
        altcraft_api.add_profile(phone="+79000000000")
        found = list(PlatformProfiles(page_size=10).lookups(client, 1))
        assert len({each["profile_id"] for each in found}) == len(found) == 26
        assert list(map(check_lookup, found)) == found
        mails = PlatformProfiles(matching="email", page_size=10, skip_empty=True)
        assert {each["email"] for each in mails.lookups(client, 1)} == {f"user{n}@example.com" for n in range(25)}
        with pytest.raises(ValueError, match=r"profiles/list, row \d+, column 'email': there is no value"):
            list(PlatformProfiles(matching="email").lookups(client, 1))
        some = PlatformProfiles(**CRM | {"columns": "CRM_ID"}, query={"CRM_ID": {"$in": ["3", "4"]}})
        assert [each["field_value"] for each in some.lookups(client, 1)] == ["3", "4"]

    def test_what_cannot_be_had(self, altcraft_api: Emulator, client: AltcraftClient) -> None:
        altcraft_api.play(faults.error(403, "no access"))
        with pytest.raises(AltcraftError, match="profiles/list"):
            list(PlatformProfiles().lookups(client, 1))


class TestShards:
    """Stable, disjoint, all."""

    LOOKUPS = tuple(email(f"user{number}@example.com") for number in range(20_000))

    def test_the_same_on_every_machine(self) -> None:
        """These must never change: a retry after an upgrade would pull other profiles."""
        assert [shard_of(each, 16) for each in self.LOOKUPS[:8]] == [7, 10, 2, 3, 11, 2, 12, 6]
        assert shard_of({"xxh": "9202595093f237d4"}, 16) == 7
        assert shard_of({"matching": "custom", "field_name": "CRM_ID", "field_value": 7}, 16) == shard_of(
            {"matching": "custom", "field_name": "CRM_ID", "field_value": "7"}, 16
        )

    @pytest.mark.parametrize("shards", [1, 2, 3, 16, 100])
    def test_balanced(self, shards: int) -> None:
        sizes = [0] * shards
        for each in self.LOOKUPS:
            sizes[shard_of(each, shards)] += 1
        even = len(self.LOOKUPS) / shards
        assert all(abs(size - even) < 6 * even**0.5 for size in sizes)
