"""ClickHouse's engine behind HTTP, as much of the server's protocol as its Python client uses; a process of its own.

The engine comes from PyPI (``chdb``), the server does not. It is the same code that reads, writes and keeps tables;
what is left out is the server's own: users, sessions, several queries at a time, replicas. Statements run one after
another.

    python clickhouse_server.py PORT FOLDER
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)")

# Of the client and of the protocol; whatever else stands in a URL is a setting of the statement.
_NO_SETTINGS = {
    *("query", "database", "session_id", "query_id", "wait_end_of_query", "client_protocol_version", "default_format"),
    *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
    *("compress", "decompress", "enable_http_compression", "http_zlib_compression_level", "session_timeout", "role"),
}


class Engine:
    """The engine with its tables in a folder.

    Args:
        folder: where the tables are kept.
    """

    def __init__(self, folder: str) -> None:
        from chdb.session import Session

        self._session: Any = Session(folder)
        self._lock = threading.Lock()
        self._database = "default"
        for text in ("CREATE DATABASE IF NOT EXISTS altcraft ENGINE = Atomic",):
            self._session.query(text)

    def run(self, sql: str, database: str, data: bytes, settings: dict[str, str]) -> tuple[str, bytes]:
        """Run a statement, and give the format of what it returns, and that."""
        asked = _FORMAT.search(sql)
        with self._lock, tempfile.NamedTemporaryFile(prefix="altcraft-insert-") as file:
            if database != self._database:
                self._session.query(f"USE `{database}`")
                self._database = database
            if data:
                assert asked, "data without the format that it is of"
                file.write(data)
                file.flush()
                sql = f"{sql[: asked.start()]} FROM INFILE '{file.name}' FORMAT {asked[1]}"
                asked = None
            for name, value in settings.items():
                self._session.query(f"SET {name} = '{value}'")
            found = self._session.query(sql, asked[1] if asked else "TabSeparated")
        return asked[1] if asked else "TabSeparated", bytes(found.bytes() or b"")


class Handler(BaseHTTPRequestHandler):
    """One request, one statement."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # header and body in one packet, for whose second part a client would wait 40 ms
    engine: Engine

    def do_GET(self) -> None:
        """Answer whether it is up."""
        self._answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        """Run a statement: the query of the address, or the body, which is else the data of that statement."""
        body = self._body()
        if body is None:  # whose sender went away: nothing of it was run
            self.close_connection = True
            return
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        sql, data = (asked["query"], body) if "query" in asked else (body.decode(), b"")
        settings = {name: value for name, value in asked.items() if name not in _NO_SETTINGS}
        try:
            format_, found = self.engine.run(sql, asked.get("database", "default"), data, settings)
        except Exception as error:
            code = _CODE.search(str(error))
            self._answer(500, str(error).encode(), {"X-ClickHouse-Exception-Code": code[1] if code else "1002"})
        else:
            self._answer(200, found, {"X-ClickHouse-Format": format_, "X-ClickHouse-Timezone": "UTC"})

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _body(self) -> bytes | None:
        if self.headers.get("Transfer-Encoding") != "chunked":
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            return body if len(body) == size else None
        parts = []
        while line := self.rfile.readline():
            size = int(line.split(b";")[0], 16)
            part = self.rfile.read(size + 2)
            if len(part) < size + 2:
                return None
            if not size:
                return b"".join(parts)
            parts.append(part[:-2])
        return None

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:  # who asked went away
            self.close_connection = True


class Server(ThreadingHTTPServer):
    """The front of the engine."""

    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    Handler.engine = Engine(sys.argv[2])
    with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        os.write(1, b"up\n")
        server.serve_forever()
