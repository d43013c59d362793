"""What a contender is given, and what users' own scripts have in common."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.answers import FIRST_DAY, LAST_DAY, email_of

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    "list_id",
    "xxh",
    "profile_id",
    "email",
    "action",
    "channel",
    "count",
    "datetime",
    "message_id",
    "message_name",
    "campaign_id",
    "campaign_name",
    "smid",
    "event_id",
)


@dataclass(frozen=True, slots=True)
class Job:
    """One run: where to ask, for how many profiles, over how many connections, and where to write.

    ``events`` is how many each profile has, ``postgres`` the table for those that write there.
    """

    url: str
    profiles: int
    out: str
    connections: int = 64
    postgres: str = ""
    events: int = 100

    @property
    def method(self) -> str:
        """The address of the method."""
        return f"{self.url}/api/v1.1/subscribers/history_get"

    @property
    def emails(self) -> list[str]:
        """The profiles."""
        return [email_of(number) for number in range(self.profiles)]

    @property
    def parquet(self) -> Path:
        """The file that a contender writes."""
        return Path(self.out) / "history.parquet"

    @staticmethod
    def request(email: str) -> dict[str, Any]:
        """What the platform is asked."""
        return {
            "token": "t",
            "list_id": 1,
            "matching": "email",
            "email": email,
            "date_from": FIRST_DAY,
            "date_to": LAST_DAY,
        }


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as a user's script writes it: known columns, the time as a time, all else as JSON."""
    known = {name: row.get(name) for name in COLUMNS}
    known["datetime"] = dt.datetime.fromisoformat(row["datetime"])
    known["extra"] = json.dumps({name: value for name, value in row.items() if name not in known})
    return known


def arrow_schema() -> pa.Schema:
    """The types of those columns."""
    import pyarrow as pa

    numbers = {"list_id", "count", "message_id", "campaign_id"}
    types: dict[str, pa.DataType] = {name: pa.int64() if name in numbers else pa.string() for name in COLUMNS}
    types |= {"datetime": pa.timestamp("us", tz="UTC"), "extra": pa.string()}
    return pa.schema(list(types.items()))


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """All rows into one Parquet file, as a user's script does it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(list(rows), schema=arrow_schema()), path, compression="zstd")
