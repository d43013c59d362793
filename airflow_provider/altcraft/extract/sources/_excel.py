"""Reads the rows of an Excel sheet one by one: memory grows with its texts and by some 100 bytes a row.

openpyxl keeps the element of each row that it has read, without its cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import IO, Any

MOST_EXACT = 10**15
"""Excel keeps 15 digits of a number, and puts zeros in place of any more."""


def rows_of_sheet(
    file: IO[bytes], places_of: Callable[[list[str]], list[int]], path: str, sheet: str | None
) -> Iterator[tuple[int, Sequence[Any]]]:
    """Yield the number, as Excel counts, and the values of each row with any; whole numbers are ``int``.

    Args:
        file: can be sought in.
        places_of: where the columns are, of those in the header, which is the first row that has values.
        path: for messages.
        sheet: its name; ``None`` where the workbook has one visible sheet only.

    Raises:
        ValueError: it is not such a workbook, or a cell has no usable value.
        ImportError: openpyxl is not installed.
        OSError: it cannot be read.
    """
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise ImportError(f"{path}: openpyxl is needed: pip install 'airflow-provider-altcraft[excel]'") from error

    def tried(step: Callable[[], Any]) -> Any:
        try:
            return step()
        except OSError:
            raise
        except Exception as error:  # of the archive, the XML or what it says: openpyxl has no error of its own
            raise ValueError(f"{path}: cannot be read as an Excel workbook: {error}") from error

    head = file.read(8)
    if head == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise ValueError(f"{path}: has a password or is an old .xls; save it as .xlsx without a password")
    file.seek(0)
    with closing(tried(lambda: load_workbook(file, read_only=True, data_only=True))) as book:
        chosen = _sheet(book, path, sheet)
        chosen.reset_dimensions()  # some programs write a size that is wrong, by which rows would be left out
        found = enumerate(chosen.iter_rows(values_only=True), 1)
        places: list[int] | None = None
        while (each := tried(lambda: next(found, None))) is not None:
            number, cells = each
            if all(cell is None for cell in cells):
                continue
            if places is None:
                places = places_of(["" if cell is None else str(cell) for cell in cells])
                continue
            values = [cells[place] if place < len(cells) else None for place in places]
            yield number, [_value(value, f"{path}, row {number}") for value in values]


def _sheet(book: Any, path: str, name: str | None) -> Any:
    sheets = {each.title: each for each in book.worksheets}
    shown = [title for title, each in sheets.items() if each.sheet_state == "visible"]
    if name is None and len(shown) == 1:
        return sheets[shown[0]]
    if name in sheets:
        return sheets[name]
    names = ", ".join(map(repr, sheets))
    if name is None:
        raise ValueError(f"{path}: expected one visible sheet, got {len(shown)}; sheet=… names one of {names}")
    raise ValueError(f"{path}: there is no sheet {name!r}; there are {names}")


def _value(value: Any, place: str) -> Any:
    from openpyxl.cell.cell import ERROR_CODES

    if isinstance(value, str) and value in ERROR_CODES:
        raise ValueError(f"{place}: a formula ends in the error {value}")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and abs(value) >= MOST_EXACT:
        raise ValueError(f"{place}: a number of more than 15 digits, which Excel does not keep; write it as text")
    return value
