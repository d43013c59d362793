"""The place of a Delta Lake table: its path, the library's options for its store, and a check that it can be written.

The credentials are those of the Airflow connection, as for object storage, asked for again at each step: they may be
temporary, and a pull may take hours.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider.altcraft._extras import not_installed
from airflow_provider.altcraft._redact import without_password, without_secrets
from airflow_provider.altcraft.targets._locations import locate
from airflow_provider.altcraft.targets._writer import located_errors, room_in

if TYPE_CHECKING:
    from deltalake import DeltaTable

Table: TypeAlias = "DeltaTable"

PROBE = "_altcraft_probe"
"""An object that the check writes next to the table's log and removes. Readers ignore names with an underscore."""


class Place:
    """The place of a table.

    Args:
        path: as a user gives it.

    Raises:
        ValueError: it cannot be the path of a table.
    """

    def __init__(self, path: object) -> None:
        uri, local = locate(path)
        self._uri = uri.removesuffix("/")
        self._local = None if local is None else local.removesuffix("/")
        self.scheme, _, rest = self._uri.partition("://")
        shown = repr(without_password(str(path)))
        if self.scheme not in _OPTIONS:
            known = ", ".join(f"{each}://" for each in _OPTIONS)
            raise ValueError(f"path: expected one of {known} or an absolute path for a Delta table, got {shown}")
        if "{" in rest or "}" in rest:
            raise ValueError(f"path: {shown} has braces that are not a template; a table takes all days and shards")
        authority, _, self._key = rest.partition("/")
        self._conn_id, _, self._bucket = authority.rpartition("@")
        self.uri = f"delta+{self._uri}"

    def prove(self) -> None:
        """Check that the place can be written, by an object that is removed again.

        Raises:
            ValueError: the connection or a package is missing, or the store does not keep two writers apart.
            OSError: the place cannot be reached or written.
        """
        with without_secrets(), located_errors(self.uri):
            if self._local is not None:
                _prove_folder(Path(self._local))
                return
            from airflow_provider.altcraft._airflow.storage import reach

            fs, path = reach(f"{self._uri}/{PROBE}")
            fs.pipe_file(path, b"")
            if self.scheme == "s3":
                _prove_conditions(fs, path, self.uri)
            fs.rm_file(path)

    @contextlib.contextmanager
    def table(self) -> Iterator[Table | None]:
        """Open the table, ``None`` where there is none; errors within the block name this place."""
        from deltalake import DeltaTable

        from airflow_provider.altcraft.targets.delta.errors import translated_errors

        with translated_errors(self.uri):
            options = self.options()
            there = DeltaTable.is_deltatable(self.address, options)
            yield DeltaTable(self.address, storage_options=options) if there else None

    @property
    def address(self) -> str:
        """The address for the library."""
        return self._local or f"{self.scheme}://{self._bucket}/{self._key}"

    def options(self) -> dict[str, str]:
        """Return the library's options for the store.

        Raises:
            ValueError: the connection's credentials are of a kind that the library does not take.
        """
        try:
            return _OPTIONS[self.scheme](self._conn_id or None)
        except ImportError as error:
            raise ValueError(f"{self.uri}: {not_installed(self.scheme, error)}") from error


def _prove_conditions(fs: Any, path: str, uri: str) -> None:
    """Check that the store refuses to replace an object, by which versions are committed; not all like S3 do."""
    for _ in range(3):
        try:
            fs.pipe_file(path, b"", mode="create")
        except FileExistsError:
            return
        # Another attempt, which checks the same, may have removed it.
    fs.rm_file(path)
    raise ValueError(
        f"{uri}: the store does not put an object on the condition that it is not there yet (If-None-Match), by which "
        f"a version of the table is committed: of two writers at once, one would lose its rows; write to another store"
    )


def _prove_folder(folder: Path) -> None:
    """Check that files and links can be made: a link to a file of the log keeps a second commit out."""
    with room_in(folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for number in range(3):
        probe, link = folder / PROBE, folder / f"{PROBE}_link"
        try:
            with room_in(folder):
                probe.write_bytes(b"")
            with contextlib.suppress(FileExistsError):  # of another attempt, which checks the same
                os.link(probe, link)
        except FileNotFoundError:  # another attempt has removed its own, which is this one
            if number == 2:
                raise
        else:
            return
        finally:
            probe.unlink(missing_ok=True)
            link.unlink(missing_ok=True)


def _none(conn_id: str | None) -> dict[str, str]:
    return {}


def _s3(conn_id: str | None) -> dict[str, str]:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook(aws_conn_id=conn_id)
    session = hook.get_session()
    options = {"AWS_REGION": hook.region_name or session.region_name or "us-east-1"}
    found = session.get_credentials()
    if found is None:
        options["AWS_SKIP_SIGNATURE"] = "true"
    else:
        keys = found.get_frozen_credentials()
        options |= {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
        if keys.token:
            options["AWS_SESSION_TOKEN"] = keys.token
    endpoint = hook.conn_config.get_service_endpoint_url(service_name="s3")
    if endpoint:
        options |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": str(endpoint.startswith("http://")).lower()}
    style = (hook.conn_config.extra_config.get("config_kwargs") or {}).get("s3", {}).get("addressing_style")
    if style == "virtual":
        options["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] = "true"
    if hook.verify is False:
        options["ALLOW_INVALID_CERTIFICATES"] = "true"
    return options


def _azure(conn_id: str | None) -> dict[str, str]:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    # As Airflow's object storage reads the connection.
    fs: Any = ObjectStoragePath(f"abfs://{f'{conn_id}@' if conn_id else ''}container/").fs
    named = {"account_name": fs.account_name, "account_key": fs.account_key, "sas_token": fs.sas_token}
    if fs.connection_string:
        parts = dict(part.partition("=")[::2] for part in fs.connection_string.split(";") if part)
        named = {
            "account_name": parts.get("AccountName"),
            "account_key": parts.get("AccountKey"),
            "sas_token": parts.get("SharedAccessSignature"),
            "endpoint": parts.get("BlobEndpoint"),
        }
    named |= {"client_id": fs.client_id, "client_secret": fs.client_secret, "tenant_id": fs.tenant_id}
    options = {f"azure_storage_{name}": str(value) for name, value in named.items() if value}
    if options.get("azure_storage_endpoint", "").startswith("http://"):
        options["azure_allow_http"] = "true"
    return options


def _google(conn_id: str | None) -> dict[str, str]:
    if conn_id is None:
        return {}
    from airflow.providers.common.compat.sdk import BaseHook

    extra: dict[str, Any] = BaseHook.get_connection(conn_id).extra_dejson
    key = extra.get("keyfile_dict")
    options: dict[str, str] = {}
    if extra.get("is_anonymous"):
        options["google_skip_signature"] = "true"
    elif key:
        options["google_service_account_key"] = key if isinstance(key, str) else json.dumps(key)
    elif extra.get("key_path"):
        options["google_service_account_path"] = str(extra["key_path"])
    endpoint = extra.get("gcs.endpoint")
    if endpoint:
        options["google_base_url"] = endpoint
        options["allow_http"] = str(endpoint.startswith("http://")).lower()
    return options


_OPTIONS = {"file": _none, "s3": _s3, "abfs": _azure, "gs": _google}
