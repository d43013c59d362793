"""Start and stop, what is recorded, forks, the fixture, the lazy imports and the command line."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from airflow_provider.altcraft import testing
from airflow_provider.altcraft.testing import Emulator, Profile, RecordedRequest, faults

COMMAND = [sys.executable, "-m", "airflow_provider.altcraft.testing"]


def ask(api, **headers):
    return httpx.post(f"{api.url}/api/v1.1/databases/list/", json={"token": api.token}, headers=headers, timeout=20)


def emulators():
    return [thread for thread in threading.enumerate() if thread.name == "altcraft-emulator"]


def test_start_and_stop():
    api = Emulator(path="/altcraft/")
    api.stop()
    api.start()
    with pytest.raises(RuntimeError, match="started already"):
        api.start()
    url = api.url
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/altcraft", url)
    assert ask(api).json()["error"] == 0
    api.stop()
    assert not emulators()
    with pytest.raises(httpx.ConnectError):
        ask(api)
    with api:
        assert api.url == url, "started again, it is where it was"
        assert ask(api).json()["error"] == 0
    assert len(api.requests) == 2


def test_ipv6():
    with Emulator(host="::1") as api:
        assert api.url.startswith("http://[::1]:")
        assert ask(api).json()["error"] == 0


def test_port_that_is_taken():
    with Emulator() as api:
        other = Emulator(port=int(api.url.rpartition(":")[2]))
        with pytest.raises(OSError, match="in use"):
            other.start()


def test_the_command_says_that_a_port_is_taken():
    with Emulator() as api:
        port = api.url.rpartition(":")[2]
        ended = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"--port: expected a free port of 127.0.0.1, got {port}")


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", "0"), ("no-such-host.invalid", "0"), ("127.0.0.1", "99999")])
def test_the_command_says_what_it_cannot_serve_at(host, port):
    command = [*COMMAND, "--host", host, "--port", port]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(
        f"--host, --port: expected an address of this machine and a port from 0 to 65535, got {host}"
    )
    assert "another emulator" not in line


def test_start_that_fails(monkeypatch):
    def fail():
        raise OSError("too many open files")

    api = Emulator()
    monkeypatch.setattr(asyncio, "SelectorEventLoop", fail)
    with pytest.raises(OSError, match="too many open files"):
        api.start()
    monkeypatch.undo()
    with api:
        assert ask(api).json()["error"] == 0


@pytest.mark.parametrize("tls", [False, True])
def test_stop_breaks_off_what_is_stalled(caplog, tls, tls_files):
    caplog.set_level("ERROR")
    *files, context = tls_files
    api = Emulator(tls=tuple(files) if tls else None)
    api.play(faults.stall(), faults.latency(60), faults.drip(1), faults.stall(3))

    def fails():
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{api.url}/api/v1.1/databases/list/", json={"token": api.token}, verify=context)

    with api:
        clients = [threading.Thread(target=fails) for _ in range(4)]
        for client in clients:
            client.start()
        while api.request_count < 4:
            time.sleep(0.01)
        assert api.open_connections == 4
        began = time.monotonic()
    assert time.monotonic() - began < 10  # a stall has no end, the latency is a minute
    for client in clients:
        client.join(timeout=20)
        assert not client.is_alive()
    assert not emulators()
    assert not caplog.records


def test_requests_are_recorded_without_the_token(altcraft_api):
    before = datetime.now(UTC)
    with httpx.Client(base_url=altcraft_api.url) as client:
        for _ in range(2):
            client.post(
                "/api/v1.1/databases/list/",
                json={"token": altcraft_api.token, "limit": 5},
                headers={"Authorization": f"Bearer {altcraft_api.token}", "X-Own": "yes"},
            )
    ask(altcraft_api)
    first, second, third = altcraft_api.requests
    assert isinstance(first, RecordedRequest)
    assert first.method == "databases/list/"
    assert first.body == {"token": "***", "limit": 5}
    assert first.headers["authorization"] == "Bearer ***"
    assert first.headers["x-own"] == "yes"
    assert altcraft_api.token not in repr(altcraft_api.requests)
    assert before <= first.at <= second.at <= datetime.now(UTC)
    assert first.at.utcoffset() == timedelta(0)
    assert [request.connection for request in (first, second, third)] == [1, 1, 2]
    assert first.peer[0] == "127.0.0.1"


@pytest.mark.parametrize("altcraft_api", [{"record": False}], indirect=True)
def test_recording_can_be_switched_off(altcraft_api):
    ask(altcraft_api)
    assert altcraft_api.requests == []
    assert altcraft_api.request_count == 1


def test_many_at_once(altcraft_api):
    altcraft_api.seed(profiles=200, events_per_profile=20)

    async def run():
        async with httpx.AsyncClient(base_url=altcraft_api.url, timeout=30) as client:

            async def one(number):
                body = {"token": altcraft_api.token, "list_id": 1, "email": f"user{number}@example.com"}
                answer = await client.post("/api/v1.1/subscribers/history_get", json=body)
                return len(answer.json()["data"])

            return await asyncio.gather(*map(one, range(200)))

    assert asyncio.run(run()) == [20] * 200


def test_events_added_by_many_threads_while_it_serves(altcraft_api):
    profile = altcraft_api.add_profile(email="ann@example.com")

    def add():
        for _ in range(50):
            altcraft_api.add_event(profile, "open")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert ask(altcraft_api).json()["error"] == 0
    rows = list(altcraft_api.events())
    assert len({row["event_id"] for row in rows}) == len(rows) == 200


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork():
    """A child reaches it by its URL, and does not hold its sockets when the parent stops it."""
    with Emulator() as api:
        held = socket.create_connection(("127.0.0.1", int(api.url.rpartition(":")[2])), timeout=20)
        while not api.open_connections:
            time.sleep(0.01)
        child = os.fork()
        if not child:
            answered = ask(api).json()["error"] == 0
            api.stop()
            signal.sigtimedwait({signal.SIGTERM}, 60)
            os._exit(0 if answered else 1)
        while not api.request_count:
            time.sleep(0.01)
    try:
        assert held.recv(1) == b"", "the connection is closed, though the child was forked while it was open"
        with pytest.raises(httpx.ConnectError):
            ask(api)
    finally:
        held.close()
        os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in {0, -signal.SIGTERM}


def test_fixture_is_there(altcraft_api):
    assert isinstance(altcraft_api, Emulator)
    assert isinstance(altcraft_api.add_profile(), Profile)


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_are_lazy():
    assert (
        _python("""
        import sys
        import airflow_provider.altcraft.testing.pytest_plugin
        from airflow_provider.altcraft import testing
        heavy = {"airflow", "httpx", "pydantic", "pydantic_core", "pyarrow", "starlette", "uvicorn"}
        print(sorted(heavy & sys.modules.keys()))
        from airflow_provider.altcraft.testing import Emulator, faults
        print(sorted({"airflow", "httpx", "pyarrow", "airflow_provider.altcraft.client"} & sys.modules.keys()))
        """)
        == "[]\n[]\n"
    )


def test_without_the_extra(monkeypatch, tmp_path):
    for name in ("emulator", "server"):
        monkeypatch.delitem(sys.modules, f"{testing.__name__}.emulator.{name}")
        monkeypatch.delattr(testing.emulator, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    says = "The Altcraft emulator needs uvicorn: pip install 'airflow-provider-altcraft[testing]'"
    with pytest.raises(ImportError, match=re.escape(says)):
        _ = testing.Emulator
    (tmp_path / "conftest.py").write_text("import sys; sys.modules['uvicorn'] = None")
    (tmp_path / "test_it.py").write_text("def test_it(altcraft_api): pass")
    run = [sys.executable, "-m", "pytest", "-q", "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert says in done.stdout


def test_no_such_name():
    with pytest.raises(AttributeError, match="has no attribute 'Emulater'"):
        _ = testing.Emulater


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_command(end):
    arguments = ["--token", "t0", "--profiles", "3", "--events", "4", "--list-id", "66", "--style", "old"]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = [process.stdout.readline() for _ in range(5)]
            url = said[0].split()[1]
            assert said[1].split() == ["Token:", "t0"]
            assert said[3].startswith("Profiles: 3 with 4 events each in the 30 days before today (UTC)")
            body = {"token": "t0", "list_id": 66, "email": "user2@example.com"}
            rows = httpx.post(f"{url}/api/v1.1/subscribers/history_get", json=body).json()["data"]
            today = datetime.now(UTC).date()
            assert len(rows) == 4
            assert all(today - timedelta(days=31) < _day(row) < today for row in rows)
            process.send_signal(end)
            assert process.wait(timeout=60) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def _day(row):
    return datetime.fromisoformat(row["datetime"]).date()
