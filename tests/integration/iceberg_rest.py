"""A REST catalog of Iceberg tables in this process: what the library's client asks of one, checked and made by it."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
import uuid
from collections.abc import Iterator
from typing import Any


class Tables:
    """The metadata of each table; nothing outlives the process."""

    def __init__(self, warehouse: str) -> None:
        self._warehouse = warehouse
        self._namespaces: set[str] = set()
        self._tables: dict[str, Any] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """The status and the content of an answer."""
        from pyiceberg.exceptions import CommitFailedException

        namespace, _, table = re.sub(r"^/v1/(namespaces/?)?", "", path).partition("/tables")
        name = f"{namespace}.{table[1:]}" if table[1:] else None
        if path.startswith("/v1/config"):
            return 200, {"defaults": {}, "overrides": {}}
        if method == "POST" and not namespace:
            self._namespaces.add(".".join(json.loads(body)["namespace"]))
            return 200, {"namespace": json.loads(body)["namespace"], "properties": {}}
        if namespace not in self._namespaces:
            return 404, _error("NoSuchNamespaceException")
        if name is None:
            return 200, self._stage(namespace, body) if method == "POST" else {"namespace": [namespace]}
        if method == "POST":
            try:
                with self._lock:
                    self._commit(name, body)
            except CommitFailedException:
                return 409, _error("CommitFailedException")
        return (200, self._shown(self._tables[name])) if name in self._tables else (404, _error("NoSuchTableException"))

    def _stage(self, namespace: str, body: bytes) -> dict[str, Any]:
        from pyiceberg.partitioning import PartitionSpec
        from pyiceberg.schema import Schema
        from pyiceberg.table.metadata import new_table_metadata
        from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

        asked = json.loads(body)
        assert asked["stage-create"]
        schema = Schema.model_validate(asked["schema"])
        spec = PartitionSpec.model_validate(asked["partition-spec"])
        location = f"{self._warehouse}/{namespace}/{asked['name']}"
        return self._shown(new_table_metadata(schema, spec, UNSORTED_SORT_ORDER, location, asked["properties"]))

    def _commit(self, name: str, body: bytes) -> None:
        from pyiceberg.catalog import MetastoreCatalog
        from pyiceberg.table import CommitTableRequest
        from pyiceberg.table.update import update_table_metadata

        asked, there = CommitTableRequest.model_validate_json(body), self._tables.get(name)
        for each in asked.requirements:
            each.validate(there)
        self._tables[name] = update_table_metadata(
            there or MetastoreCatalog._empty_table_metadata(), asked.updates, enforce_validation=there is None
        )

    def _shown(self, metadata: Any) -> dict[str, Any]:
        location = f"{metadata.location}/metadata/{uuid.uuid4()}.metadata.json"
        return {"metadata-location": location, "metadata": json.loads(metadata.model_dump_json()), "config": {}}


def _error(kind: str) -> dict[str, Any]:
    return {"error": {"message": "by the tests' catalog", "type": kind, "code": 400}}


@contextlib.contextmanager
def serving(warehouse: str) -> Iterator[str]:
    """Serve such a catalog, and give its address."""
    tables = Tables(warehouse)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = tables.answer(self.command, self.path, body)
            data = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else data)

        do_HEAD = do_POST = do_GET  # noqa: N815 - the names that the server calls

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
