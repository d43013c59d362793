"""Files of DuckDB behind Airflow's connections, which either of two providers may serve.

The official one, ``apache-airflow-providers-duckdb``, and the older ``airflow-provider-duckdb`` share the connection
type ``duckdb`` and keep the file's path in different places. Where both are installed, Airflow takes the older one.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any, Final

_PROVIDERS: Final = {
    "airflow.providers.duckdb": "apache-airflow-providers-duckdb",
    "duckdb_provider": "airflow-provider-duckdb",
}
_NEWER: Final = re.compile(r"database file with (?:storage )?version number (\d+), but we can only read .*?(\d.*\d)\.")


def database_of(hook: Any) -> str:
    """Return the path of the file that a hook opens, or ``md:name`` of a database of MotherDuck's, without its token.

    Raises:
        ValueError: it opens a database in memory.
    """
    connection = hook.get_connection(hook.get_conn_id())
    if hasattr(hook, "get_database"):
        place, more = str(hook.get_database()), " or into 'database' of its extra"
    elif connection.password:
        return f"md:{connection.schema or ''}"
    else:
        place, more = connection.host or "", ""
        if connection.extra_dejson.get("database"):
            more = f", since {_PROVIDERS['duckdb_provider']}, which serves it, reads no 'database' of the extra"
    return _file(place, connection, more)


def database_of_connection(connection: Any) -> str:
    """Return the same by the connection alone, so that no provider needs to be installed."""
    extra = connection.extra_dejson
    if not extra.get("database") and (connection.password or extra.get("motherduck_token")):
        return f"md:{connection.schema or ''}"
    return _file(str(extra.get("database") or connection.host or ""), connection, " or into 'database' of its extra")


def _file(place: str, connection: Any, more: str) -> str:
    if place.startswith("md:"):
        return place.partition("?")[0]
    # As DuckDB reads the name.
    if place in {"", ":default:"} or place.startswith(":memory:"):
        raise ValueError(
            f"the connection {connection.conn_id!r} names no DuckDB file, so its database would be in memory and "
            f"end with the task; write the file's path into its host{more}"
        )
    return place


def served_by(hook: Any) -> str | None:
    """Return a sentence that names the provider of a hook where both are installed, else ``None``."""
    names = {module: name for module, name in _PROVIDERS.items() if _is_there(module)}
    ours = next((name for module, name in names.items() if f"{type(hook).__module__}.".startswith(f"{module}.")), None)
    if ours is None or len(names) < len(_PROVIDERS):
        return None
    (other,) = {*names.values()} - {ours}
    return f"{ours} serves the connection type 'duckdb', not {other}, which is installed too"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def refuse_newer(error: BaseException) -> None:
    """Raise a clear error for a file of a DuckDB newer than the one installed, which no retry would read.

    Raises:
        ValueError: it was.
    """
    found = _NEWER.search(str(error))
    if found is None:
        return
    import duckdb

    raise ValueError(
        f"the file was made by a newer DuckDB: its version number is {found[1]}, and DuckDB {duckdb.__version__}, "
        f"which is installed here, reads those between {found[2]}; upgrade it, or copy the tables into a file that "
        f"both read: ATTACH 'other.duckdb' (STORAGE_VERSION 'v1.0.0')"
    ) from None
