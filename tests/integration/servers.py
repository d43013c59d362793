"""Database servers of a test's own, on a port and in a folder of their own, to be killed and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from databases import Database, of_mariadb, of_postgres

from tests.ports import free_port


class Server:
    """A server of one database; ``stop`` and ``start`` take turns."""

    def __init__(self, database: Database, command: Sequence[str], user: str | None) -> None:
        self.database = database
        self._command = command
        self._options: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **self._options
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.database.execute("SELECT 1")
            except Exception:
                assert self._process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server takes no connections"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it without a farewell: no transaction is finished, nothing is written to the disk any more."""
        assert self._process is not None
        if self._process.poll() is not None:
            return
        # PostgreSQL's processes would live on for a while after a kill -9 of the first; this has them all end at once.
        self._process.send_signal(signal.SIGQUIT if self.database.kind == "postgres" else signal.SIGKILL)
        self._process.wait(60)


def _program(name: str) -> str:
    places = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))
    found = shutil.which(name, path=os.pathsep.join([*places[::-1], os.environ["PATH"], "/usr/sbin"]))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@contextlib.contextmanager
def own_server(kind: str) -> Iterator[Server]:
    """A server of an empty database, up."""
    root = os.geteuid() == 0
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="altcraft-", dir="/tmp") as folder:
        data = Path(folder) / "data"
        if kind == "postgres":
            user = "postgres" if root else None  # it refuses to run as root
            shutil.chown(folder, user) if user else None
            make = [_program("initdb"), *f"-D {data} -U postgres -A trust -E UTF8 --locale=C -N".split()]
            run = [_program("postgres"), "-D", str(data), "-p", str(port), "-k", folder, "-h", "127.0.0.1"]
            database = of_postgres("altcraft_own_postgres", port, "postgres")
        else:
            user = None
            me = [f"--user={'root' if root else os.environ['USER']}", f"--datadir={data}"]
            make = [_program("mariadb-install-db"), "--no-defaults", *me, "--auth-root-authentication-method=normal"]
            run = [_program("mariadbd"), "--no-defaults", *me, f"--port={port}", "--bind-address=127.0.0.1"]
            run += [f"--socket={folder}/s", "--innodb-buffer-pool-size=32M"]
            database = of_mariadb("altcraft_own_mariadb", port, "mysql")
        server = Server(database, run, user)
        subprocess.run(make, check=True, capture_output=True, cwd="/", **server._options)
        server.start()
        try:
            if kind == "mariadb":  # whose own tables, there before, cannot be locked together with others
                database.execute("CREATE DATABASE history")
                server.database = of_mariadb("altcraft_own_mariadb", port, "history")
            yield server
        finally:
            server.stop()
