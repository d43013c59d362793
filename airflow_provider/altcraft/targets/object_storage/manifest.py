"""The manifest of a folder of parts: names the parts that are its history, and their scope."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._arguments import path_text
from airflow_provider.altcraft.targets.object_storage.path import check

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets._protocols import Scope
    from airflow_provider.altcraft.targets.object_storage.folder import Folder

NAME = "_manifest.json"
_VERSION = 1
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Part:
    """One part file: its name in the folder, rows, bytes, and the SHA-256 of these in hex."""

    name: str
    rows: int
    bytes: int
    sha256: str
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a folder.

    Attributes:
        parts: in the order of the pull; all rows are in them, each once.
        rows: of all parts.
        bytes: of all parts.
        format: as in ``ObjectStorageTarget``.
        schema: each column's ``name``, Arrow ``type`` and whether it is ``nullable``.
        window: ``start`` and ``end`` in ISO 8601, UTC; ``None`` is an open side.
        list_id: the database.
        scope: a digest of list, lookups and window: two pulls of the same scope have the same.
        package_version: of this package, which wrote it.
        written_at: when, by the writer's clock, in ISO 8601.
        began: when the pull began, or the attempt whose parts it took over, likewise.
    """

    parts: tuple[Part, ...]
    rows: int
    bytes: int
    format: str
    schema: tuple[dict[str, Any], ...]
    window: dict[str, str | None]
    list_id: int
    scope: str
    package_version: str
    written_at: str
    began: str | None = None
    version: int = field(default=_VERSION, repr=False)

    def to_json(self) -> str:
        """Return the content of the file."""
        content = asdict(self)
        for part in content["parts"]:
            del part["uri"]  # the folder may be moved
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def of_parts(parts: Sequence[Part], scope: Scope, suffix: str, began: dt.datetime) -> Manifest:
    """Return the manifest of a pull."""
    from airflow_provider.altcraft import __version__
    from airflow_provider.altcraft.schema import SCHEMA

    window = scope.window.to_json()
    lookups = None if scope.lookups is None else [list(pair) for pair in scope.lookups]
    described = json.dumps([scope.list_id, lookups, window], ensure_ascii=False)
    return Manifest(
        parts=tuple(parts),
        rows=sum(part.rows for part in parts),
        bytes=sum(part.bytes for part in parts),
        format=suffix[1:],
        schema=tuple({"name": column.name, "type": str(column.type), "nullable": column.nullable} for column in SCHEMA),
        window=window,
        list_id=scope.list_id,
        scope=hashlib.sha256(described.encode()).hexdigest(),
        package_version=__version__,
        written_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        began=began.isoformat(timespec="microseconds"),
    )


def parse(data: bytes, folder: str) -> Manifest:
    """Read the JSON of ``to_json``.

    Raises:
        ValueError: it is not such JSON.
    """
    try:
        content = json.loads(data)
        if content["version"] > _VERSION:
            raise ValueError(f"{folder}{NAME}: a newer version of this package wrote it; upgrade")
        parts = tuple(Part(**part, uri=folder + part["name"]) for part in content.pop("parts"))
        return Manifest(parts=parts, schema=tuple(content.pop("schema")), **content)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder}{NAME} is not a manifest of this package: {error!r}") from error


def read_manifest(path: str | PathLike[str]) -> Manifest:
    """Read which parts of a folder are its history, and make sure that all of them are there, whole.

    A commit that comes between is followed. One that comes later removes the parts that it replaced: a reader that
    then misses one reads the manifest again.

    Args:
        path: the folder as it was given to the target, or as a ``pathlib.Path`` or an ``ObjectStoragePath``.

    Raises:
        ValueError: not a folder, no place that can be read, or a manifest that cannot be understood.
        FileNotFoundError: nothing was committed there yet.
        OSError: the place cannot be reached, or parts are missing.
    """
    from airflow_provider.altcraft.targets.object_storage.choice import folder_at

    text = path_text(path)
    place = check(text if text is path or text.endswith("/") else f"{text}/")  # other than text keeps no last "/"
    if not place.is_folder:
        raise ValueError(f"path: {path!r} is not a folder, which ends in '/'")
    folder = folder_at(place)
    wrong: list[str] = []
    before = None
    for _ in range(_TRIES):
        data = folder.read(NAME)
        if data is None:
            raise FileNotFoundError(f"{place.uri}{NAME}: nothing was committed there yet")
        manifest = parse(data, place.uri)
        wrong = incomplete(folder, manifest.parts)
        if not wrong:
            return manifest
        if data == before:
            break
        before = data
    raise OSError(f"{place.uri}: parts are missing or of a wrong size, so what is there is not whole: {wrong[:3]}")


def incomplete(folder: Folder, parts: Sequence[Part]) -> list[str]:
    """Return the names of parts that are missing or have another size."""
    sizes = folder.sizes()
    return [part.name for part in parts if sizes.get(part.name) != part.bytes]
