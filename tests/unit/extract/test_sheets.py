# ruff: noqa: RUF001 - Cyrillic is meant
"""Profiles as Excel leaves them, in Russia above all: encodings, delimiters, workbooks, phones as people write them."""

from __future__ import annotations

import datetime as dt
import io
import logging
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from airflow_provider.altcraft.extract.sources import FileProfiles

NOBODY: Any = None
PHONE: dict[str, Any] = {"matching": "phone", "columns": "Телефон"}
CRM: dict[str, Any] = {"matching": "custom", "fixed": {"field_name": "CRM_ID"}, "columns": "Код"}
RUSSIAN = "Имя;Телефон\r\nАнна;79001234567\r\nПётр;+7 (900) 123-45-68\r\nЁжи №1 «О»;8 900 123-45-69\r\n"
FORM = [f"+7900123456{digit}" for digit in "789"]


def read(source: FileProfiles) -> list[Any]:
    """The values that are asked."""
    return [list(each.values())[-1] for each in source.lookups(NOBODY, 1)]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], str]:
    def write(name: str, body: bytes) -> str:
        (tmp_path / name).write_bytes(body)
        return str(tmp_path / name)

    return write


@pytest.fixture
def sheet(tmp_path: Path) -> Callable[..., str]:
    """A workbook: sheets by name, each rows of cells."""

    def sheet(**sheets: list[list[Any]]) -> str:
        book = Workbook()
        book.remove(book.worksheets[0])
        for title, rows in sheets.items():
            page = book.create_sheet(title)
            for row in rows:
                page.append(row)
        book.save(tmp_path / "a.xlsx")
        return str(tmp_path / "a.xlsx")

    return sheet


class TestText:
    """CSV in other encodings, by other delimiters."""

    @pytest.mark.parametrize(
        "encoding", ["cp1251", "windows-1251", "utf-8-sig", "utf-16", "utf-16-le", "koi8-r", "cp866"]
    )
    def test_encodings(self, write: Callable[..., str], encoding: str) -> None:
        body = RUSSIAN.replace("№1 «О»", "").encode(encoding)
        source = FileProfiles(write("a.csv", body), encoding=encoding, delimiter=";", phone_region="RU", **PHONE)
        assert read(source) == FORM

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_ends_of_lines(self, write: Callable[..., str], end: str) -> None:
        body = RUSSIAN.replace("\r\n", end).encode("cp1251")
        source = FileProfiles(write("a.csv", body), encoding="cp1251", delimiter=";", phone_region="RU", **PHONE)
        assert read(source) == FORM

    def test_json_lines_too(self, write: Callable[..., str]) -> None:
        path = write("a.jsonl", '{"Код": "жук"}\n'.encode("cp1251"))
        assert read(FileProfiles(path, encoding="cp1251", **CRM)) == ["жук"]

    @pytest.mark.parametrize(
        ("body", "arguments", "said"),
        [
            (
                RUSSIAN.encode("cp1251"),
                {},
                "line 1: not UTF-8; its bytes look like encoding='cp1251', and its columns like delimiter=';'$",
            ),
            (RUSSIAN.encode("cp1251"), {"delimiter": ";"}, "line 1: not UTF-8; its bytes look like encoding='cp1251'$"),
            ("a,Телефон\n1,Ёж\n".encode("cp1251"), {}, "line 1: not UTF-8; its bytes look like encoding='cp1251'$"),
            ("Name,Phone\n1,Ёж\n".encode("cp1251"), {"columns": "Phone"}, "line 2: .* encoding='cp1251'$"),
            (RUSSIAN.encode(), {}, "'Телефон' is missing; there are .*; its columns look like delimiter=';'$"),
            (RUSSIAN.replace(";", "\t").encode(), {}, r"look like delimiter='\\t'$"),
            (RUSSIAN.replace(";", ",").encode(), {"delimiter": ";"}, "look like delimiter=','$"),
            (
                RUSSIAN.encode("utf-16"),
                {},
                "line 1: not UTF-8; its bytes look like encoding='utf-16', .*delimiter=';'$",
            ),
            (RUSSIAN.encode(), {"encoding": "cp1251"}, "line 1: UTF-8, not cp1251: encoding='utf-8' reads it$"),
            (
                "Code;b\n1;Ёж\n".encode(),
                {"encoding": "cp1251", "delimiter": ";", "columns": "Code"},
                "line 2: UTF-8, not",
            ),
            ("\ufeffCode\n1\n".encode(), {"encoding": "cp1251"}, "line 1: UTF-8, not cp1251"),
            (b"a,\x98\n", {"encoding": "cp1251"}, "line 1: not cp1251$"),
            ("Имя".encode("utf-16-le") + b"\x00\xd8\n\x00", {"encoding": "utf-16-le"}, "after line 0: not utf-16-le$"),
            ("Jos\xe9,b\n".encode("latin-1"), {}, "line 1: not UTF-8$"),
            (b"sep=;\r\n" + RUSSIAN.encode(), {}, "line 1: it names another delimiter: delimiter=';'$"),
        ],
    )
    def test_refused_with_what_would_read_it(
        self, write: Callable[..., str], body: bytes, arguments: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(ValueError, match="a.csv[,:].*" + said):
            read(FileProfiles(write("a.csv", body), **PHONE | arguments))

    def test_a_line_that_names_the_delimiter(self, write: Callable[..., str]) -> None:
        path = write("a.csv", b"sep=;\r\n" + RUSSIAN.encode() + b"x;\r\n")
        with pytest.raises(ValueError, match=r"line 6, column 'Телефон': there is no value"):
            read(FileProfiles(path, delimiter=";", **PHONE | {"matching": "custom", "fixed": {"field_name": "a"}}))

    @pytest.mark.parametrize("value", ["1,23457E+11", "7,9E+10", "9E+11", "1.23457E+11"])
    def test_a_number_that_excel_shortened(self, write: Callable[..., str], value: str) -> None:
        with pytest.raises(ValueError, match=r"line 2, column 'Код': field_value: .* Excel has shortened") as caught:
            read(FileProfiles(write("a.csv", f"Код;b\n{value};\n".encode()), delimiter=";", **CRM))
        assert value not in str(caught.value)

    @pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
    @pytest.mark.parametrize("value", ["7 ", " 7", "7\xa0"])
    def test_blanks_around_a_value(self, write: Callable[..., str], name: str, value: str) -> None:
        body = f"Код\n{value}\n" if name == "a.csv" else f'{{"Код": "{value}"}}'
        with pytest.raises(
            ValueError, match=r"column 'Код': field_value: expected no blanks before or after the value"
        ):
            read(FileProfiles(write(name, body.encode()), **CRM))


class TestPhones:
    """Phones as people write them."""

    @pytest.mark.parametrize(
        ("written", "form"),
        [
            ("79001234567", "+79001234567"),
            ("+7 (900) 123-45-67", "+79001234567"),
            ("8 900 123-45-67", "+79001234567"),
            ("8(900)1234567", "+79001234567"),
            ("9001234567", "+79001234567"),
            (" +79001234567 ", "+79001234567"),
            ("8-4012-12-34-56", "+74012123456"),
            ("8 701 123 45 67", "+77011234567"),
            ("+375 29 123-45-67", "+375291234567"),
            (79001234567, "+79001234567"),
        ],
    )
    def test_the_platforms_form(self, sheet: Callable[..., str], written: Any, form: str) -> None:
        assert read(FileProfiles(sheet(a=[["Телефон"], [written]]), phone_region="RU", **PHONE)) == [form]

    @pytest.mark.parametrize(
        "written",
        [
            "8900123456",
            "1234567890",
            "375291234567",
            "8 900 123-45-67 доб. 12",
            "8 900 123-45-67, 8 900 123-45-68",
            "8 900 123-45-67 / 8 900 123-45-68",
            "79001234567.0",
            "нет",
            "+89001234567",
            112,
        ],
    )
    def test_what_is_not_exactly_one(self, sheet: Callable[..., str], written: Any) -> None:
        path = sheet(a=[["Телефон"], ["+79001234567"], [written]])
        with pytest.raises(ValueError, match=r"row 3, column 'Телефон': phone: expected one phone number") as caught:
            read(FileProfiles(path, phone_region="RU", **PHONE))
        assert str(written) not in str(caught.value)

    def test_of_another_country(self, write: Callable[..., str]) -> None:
        path = write("a.csv", "Телефон\n2079460958\n8 (017) 200-00-00\n".encode())
        with pytest.raises(ValueError, match="line 3"):
            read(FileProfiles(path, phone_region="GB", **PHONE))

    def test_either_of_two(self, write: Callable[..., str]) -> None:
        path = write("a.csv", b"email,phone\na@b,8 900 123-45-67\n,8 900 123-45-68\na@b,\n")
        source = FileProfiles(path, matching="email_phone", phone_region="RU")
        assert [each.get("phone") for each in source.lookups(NOBODY, 1)] == ["+79001234567", "+79001234568", None]

    @pytest.mark.parametrize("written", [79001234567, "8 (900) 123-45-67"])
    def test_the_way_is_named(self, sheet: Callable[..., str], written: Any) -> None:
        with pytest.raises(ValueError, match=r"expected a phone number such as .*phone_region='RU'"):
            read(FileProfiles(sheet(a=[["Телефон"], [written]]), **PHONE))

    def test_phones_without_a_country_code_are_warned_of(
        self, write: Callable[..., str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """They are asked as they are, and few of them find anybody."""
        path = write("a.csv", "Телефон\n89001234567\n79001234567\n+79001234567\n".encode())
        with caplog.at_level(logging.WARNING):
            assert len(read(FileProfiles(path, **PHONE))) == 3
        assert "2 phones have no country code with a +" in caplog.text
        assert "9001234567" not in caplog.text

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"phone_region": "ru", "matching": "phone"}, "phone_region: expected two letters"),
            ({"phone_region": "Russia", "matching": "phone"}, "phone_region: expected two letters"),
            ({"phone_region": "RU"}, "phone_region: with matching 'email' there is no column of phones"),
            ({"encoding": "auto"}, "encoding: expected one that Python knows, such as 'utf-8' or 'cp1251', got 'auto'"),
            ({"encoding": "hex"}, "encoding"),
            ({"encoding": "a\0"}, "encoding"),
            ({"delimiter": '"'}, "delimiter: expected one character"),
            ({"delimiter": "\n"}, "delimiter"),
        ],
    )
    def test_refused_when_the_dag_is_parsed(self, arguments: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            FileProfiles("/a.csv", **arguments)

    def test_a_region_that_is_none(self, write: Callable[..., str]) -> None:
        with pytest.raises(ValueError, match="phone_region: there is no region 'QQ'"):
            read(FileProfiles(write("a.csv", "Телефон\n".encode()), phone_region="QQ", **PHONE))


class TestWorkbooks:
    """Sheets of a workbook."""

    def test_numbers_stay_whole(self, sheet: Callable[..., str]) -> None:
        path = sheet(a=[["Код", "b"], [7, 1.5], [7.9001234567e10, None], ["007", "x"], [999_999_999_999_999, None]])
        found = read(FileProfiles(path, **CRM))
        assert found == [7, 79001234567, "007", 999_999_999_999_999]
        assert [type(each) for each in found] == [int, int, str, int]

    def test_blank_rows_and_a_late_header(self, sheet: Callable[..., str]) -> None:
        path = sheet(a=[[], [None, "Код"], [None, 7], [], [None, 8, "note"], ["x"]])
        with pytest.raises(ValueError, match="row 6, column 'Код': there is no value"):
            read(FileProfiles(path, **CRM))
        assert read(FileProfiles(path, skip_empty=True, **CRM)) == [7, 8]
        assert read(FileProfiles(sheet(a=[]), **CRM)) == []

    def test_the_sheet_is_named_where_there_are_several(self, sheet: Callable[..., str]) -> None:
        path = sheet(Январь=[["Код"], [1]], Февраль=[["Код"], [2]])
        with pytest.raises(
            ValueError, match=r"expected one visible sheet, got 2; sheet=… names one of 'Январь', 'Февраль'"
        ):
            read(FileProfiles(path, **CRM))
        assert read(FileProfiles(path, sheet="Февраль", **CRM)) == [2]
        with pytest.raises(ValueError, match="there is no sheet 'Март'; there are 'Январь', 'Февраль'"):
            read(FileProfiles(path, sheet="Март", **CRM))

    def test_a_hidden_sheet_does_not_count(self, tmp_path: Path) -> None:
        book = Workbook()
        book.create_sheet("hidden").sheet_state = "hidden"
        book.worksheets[0].append(["Код"])
        book.worksheets[0].append([1])
        book.save(tmp_path / "a.xlsx")
        assert read(FileProfiles(str(tmp_path / "a.xlsx"), **CRM)) == [1]

    def test_a_size_that_is_wrong(self, sheet: Callable[..., str], tmp_path: Path) -> None:
        """As some programs write it."""
        path = tmp_path / "b.xlsx"
        with zipfile.ZipFile(sheet(a=[["b", "Код"], [0, 7], [0, 8]])) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                new.writestr(name, old.read(name).replace(b'<dimension ref="A1:B3"', b'<dimension ref="A1"'))
        assert read(FileProfiles(str(path), **CRM)) == [7, 8]

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (1.5, "got a floating-point number; write 'Код' as whole numbers or as text"),
            (True, "got a truth value; write 'Код' as text"),
            (dt.datetime(2026, 1, 2, tzinfo=None), "got a date or time; write 'Код' as text"),  # noqa: DTZ001
            (1_000_000_000_000_000, "a number of more than 15 digits, which Excel does not keep; write it as text"),
            ("#N/A", "a formula ends in the error #N/A"),
            ("7 ", "expected no blanks"),
        ],
    )
    def test_cells_that_hold_no_value(self, sheet: Callable[..., str], value: Any, said: str) -> None:
        with pytest.raises(ValueError, match=r"a.xlsx, row 3.*" + said):
            read(FileProfiles(sheet(a=[["Код"], [1], [value]]), **CRM))

    def test_what_is_no_workbook(self, write: Callable[..., str], sheet: Callable[..., str]) -> None:
        whole = Path(sheet(a=[["Код"], *([each] for each in range(999))])).read_bytes()
        broken = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(broken, "w") as new:
            for name in old.namelist():
                body = old.read(name)
                new.writestr(name, body[: len(body) // 2] if "sheet1" in name else body)
        for body in (b"", b"x" * 999, whole[: len(whole) // 2], broken.getvalue()):
            with pytest.raises(ValueError, match=r"a.xlsx: cannot be read as an Excel workbook"):
                read(FileProfiles(write("a.xlsx", body), **CRM))
        with pytest.raises(ValueError, match=r"a.xlsx: has a password or is an old .xls"):
            read(FileProfiles(write("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 999), **CRM))
        with pytest.raises(ValueError, match=r"a.xlsx: column 'Имя' is missing; there are 'Код'"):
            read(FileProfiles(sheet(a=[["Код"], [1]]), **CRM | {"columns": "Имя"}))
        with pytest.raises(FileNotFoundError):
            read(FileProfiles("/nowhere/a.xlsx", **CRM))

    def test_rows_come_before_the_sheet_is_over(self, sheet: Callable[..., str], tmp_path: Path) -> None:
        """So that its cells are never held at once."""
        path = tmp_path / "b.xlsx"
        with zipfile.ZipFile(sheet(a=[["Код"], *([each] for each in range(9_999))])) as old:
            with zipfile.ZipFile(path, "w") as new:
                for name in old.namelist():
                    body = old.read(name)
                    new.writestr(name, body[:-100] if "sheet1" in name else body)
        found = FileProfiles(str(path), **CRM).lookups(NOBODY, 1)
        assert [next(found)["field_value"] for _ in range(9_000)] == list(range(9_000))
        with pytest.raises(ValueError, match="cannot be read as an Excel workbook"):
            list(found)


@pytest.mark.parametrize(
    ("module", "name", "arguments", "said"),
    [
        ("openpyxl", "a.xlsx", CRM, r"a.xlsx: .*airflow-provider-altcraft\[excel\]"),
        (
            "phonenumbers",
            "a.csv",
            PHONE | {"phone_region": "RU"},
            r"phone_region: .*airflow-provider-altcraft\[phone\]",
        ),
    ],
)
def test_an_extra_that_is_missing(
    write: Callable[..., str], monkeypatch: pytest.MonkeyPatch, module: str, name: str, arguments: Any, said: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=said):
        read(FileProfiles(write(name, b""), **arguments))
