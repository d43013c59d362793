"""Responses read in another process: the same rows as here, and an end with the task, however that ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.altcraft.client import FatalError
from airflow_provider.altcraft.extract.decoding.decoder import fast_batch
from airflow_provider.altcraft.extract.decoding.decoder_process import DecoderProcess, cores
from airflow_provider.altcraft.extract.decoding.rows import RowReader
from airflow_provider.altcraft.window import Window
from tests.unit.client.wire import until

WINDOW = Window.of("2026-01-02", "2026-01-30")


def body(serial: int, rows: int = 3) -> bytes:
    """An answer whose rows lie partly before the window, with fields of their own."""
    sent = [
        {
            "action": "open",
            "datetime": f"2026-01-{1 + (serial + number) % 20:02}T10:00:00.{number % 1000:03}Z",
            "xxh": f"{serial:016x}",
            "list_id": 1,
            f"own_{serial % 3}": {"deep": [1.10, "é"]},
        }
        for number in range(rows)
    ]
    return json.dumps({"error": 0, "error_text": "", "data": sent}).encode()


@asynccontextmanager
async def decoder(by: Any = "row") -> AsyncIterator[DecoderProcess]:
    made = DecoderProcess(WINDOW, 1, by)
    made.start()
    try:
        async with asyncio.timeout(30):
            while not made.ready:  # noqa: ASYNC110 - it says so nowhere else
                await asyncio.sleep(0.01)
        yield made
    finally:
        await made.aclose()


def pid_of(made: DecoderProcess) -> int:
    assert made._process
    return made._process.pid


def is_gone(pid: int) -> bool:
    """Whether it has ended; what nobody waits for any more is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_rows_are_the_same() -> None:
    bodies = [body(serial, rows) for serial, rows in enumerate([1, 3, 200, 2, 5000] * 8)]

    async def read() -> list[Any]:
        async with decoder() as made:
            return await asyncio.gather(
                *(made.read("email", f"{serial}@example.com", "", each) for serial, each in enumerate(bodies))
            )

    found = asyncio.run(read())
    for serial, (batch, sent) in enumerate(zip(found, bodies, strict=True)):
        rows = RowReader().read(sent, "")
        assert rows
        assert batch.equals(
            fast_batch(rows.data or (), WINDOW, list_id=1, matching="email", lookup=f"{serial}@example.com")
        )


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"no JSON", ""),
        (b'{"error": 7, "error_text": "no"}', ""),
        (b'{"error": 0, "data": []}', ""),
        (b'{"error": 0, "data": [{"action": 5}]}', ""),
        (body(1).decode().encode("utf-16"), "application/json; charset=utf-16"),
        (b'{"error": 0, "data": [' + b"[" * 5000 + b"]" * 5000 + b"]}", ""),
        (b" " * (5 << 20) + body(1), ""),
    ],
    ids=["no JSON", "error", "no rows", "no event", "charset", "deep", "large"],
)
def test_what_is_left_to_the_caller_does_not_stop_the_rest(content: bytes, content_type: str) -> None:
    async def read() -> list[Any]:
        async with decoder() as made:
            contents = [(content, content_type), (body(2), "")] * 20
            return await asyncio.gather(*(made.read("email", "a", kind, each) for each, kind in contents))

    found = asyncio.run(read())
    assert found[::2] == [None] * 20
    assert [batch.num_rows for batch in found[1::2]] == [3] * 20


def test_two_events_of_one_event_id_are_left_to_the_caller_who_refuses_them() -> None:
    rows = [{"action": action, "datetime": "2026-01-05T10:00:00Z", "event_id": "e1"} for action in ("open", "click")]
    sent = json.dumps({"error": 0, "data": rows}).encode()

    async def read() -> Any:
        async with decoder(by="event_id") as made:
            return await made.read("email", "a", "", sent)

    assert asyncio.run(read()) is None
    found = RowReader().read(sent, "")
    assert found
    with pytest.raises(FatalError, match="not unique"):
        fast_batch(found.data or (), WINDOW, list_id=1, matching="email", lookup="a", by="event_id")


def test_a_process_that_dies_leaves_all_to_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    async def read() -> list[Any]:
        async with decoder() as made:
            os.kill(pid_of(made), signal.SIGSTOP)
            reading = [asyncio.create_task(made.read("email", "a", "", body(number))) for number in range(50)]
            await asyncio.sleep(0)
            os.kill(pid_of(made), signal.SIGKILL)
            found = await asyncio.gather(*reading)
            async with asyncio.timeout(20):
                while "exit code" not in caplog.text:  # noqa: ASYNC110 - it says so nowhere else
                    await asyncio.sleep(0.01)
            return [*found, await made.read("email", "a", "", body(1))]

    assert asyncio.run(read()) == [None] * 51
    assert "exit code -9): the task reads them itself" in caplog.text


def test_a_reader_that_is_cancelled_takes_nobodys_rows() -> None:
    async def read() -> list[Any]:
        async with decoder() as made:
            reading = [asyncio.create_task(made.read("email", str(number), "", body(number))) for number in range(60)]
            await asyncio.sleep(0)
            for task in reading[::2]:
                task.cancel()
            return await asyncio.gather(*reading, return_exceptions=True)

    found = asyncio.run(read())
    assert [batch["lookup"][0].as_py() for batch in found[1::2]] == [str(number) for number in range(1, 60, 2)]


@pytest.mark.parametrize(
    ("quota", "found"), [("100000 100000\n", 1), ("150000 100000\n", 1.5), ("900000 100000\n", 4), ("max 100000\n", 4)]
)
def test_a_container_has_the_cores_of_its_quota(
    quota: str, found: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    (tmp_path / "cpu.max").write_text(quota)
    assert cores(tmp_path / "cpu.max") == found
    assert cores(tmp_path / "none") == 4


def test_it_ends_when_it_is_closed() -> None:
    async def pid() -> int:
        async with decoder() as made:
            return pid_of(made)

    assert is_gone(asyncio.run(pid()))


TASK = """
import asyncio, signal, sys
from pathlib import Path
from tests.unit.extract.test_decoder_process import decoder, pid_of

async def main():
    async with decoder() as made:
        Path(sys.argv[1]).write_text(str(pid_of(made)))
        await asyncio.sleep(600)

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where the tests run in the background
asyncio.run(main())
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_the_task_however_that_ends(end: signal.Signals, tmp_path: Path) -> None:
    written = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", TASK, str(written)], cwd=Path(__file__).parents[3]) as task:
        try:
            until(lambda: written.exists() and bool(written.read_text()))
            pid = int(written.read_text())
            assert not is_gone(pid)
            task.send_signal(end)
            until(lambda: is_gone(pid))
        finally:
            task.kill()
