"""Pulls through a real nginx or HAProxy: the platform is away for a while, or the proxy limits the requests.

The short versions run always, the full tables as soak tests. Away means: the emulator's process is killed, and started
again so many seconds later; its start takes some time more.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.client import _constants
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from tests.integration.proxies import HAProxy, Nginx, Platform, ReverseProxy
from tests.retries import set_retries

EVENTS = 5
KINDS: dict[str, Callable[..., ReverseProxy]] = {"nginx": Nginx, "haproxy": HAProxy}


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Define the connection; retries and pauses are the real ones."""
    set_retries(monkeypatch, wait_initial=_constants.BACKOFF_INITIAL, wait_max=_constants.BACKOFF_MAX)

    def define(url: str, **extra: Any) -> None:
        value = {"conn_type": "altcraft", "host": url, "password": Platform.token, "extra": {"list_id": 1} | extra}
        monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT", json.dumps(value))

    return define


@contextmanager
def up(*servers: Any) -> Iterator[None]:
    started: list[Any] = []
    try:
        for server in servers:
            server.start()
            started.append(server)
        yield
    finally:
        for server in started:
            server.stop()


def pull(profiles: int, folder: Path) -> None:
    """Pull them; the file holds each event once."""
    path = folder / "history.parquet"
    result = AltcraftHistoryOperator(
        task_id="pull", profiles=[f"user{number}@example.com" for number in range(profiles)], target=f"file://{path}"
    ).execute({})
    keys = pq.read_table(path).column("event_key").to_pylist()
    assert len(keys) == len(set(keys)) == result["rows"] == profiles * EVENTS
    path.unlink()


def pull_database(profiles: int, folder: Path) -> None:
    path = folder / "database.parquet"
    AltcraftDatabaseHistoryOperator(
        task_id="pull",
        date_from="2000-01-01",
        date_to="2100-01-01",
        parallel_ranges=4,
        page_size=20,
        target=f"file://{path}",
    ).execute({})
    keys = pq.read_table(path).column("event_key").to_pylist()
    assert len(keys) == len(set(keys)) == profiles * EVENTS
    path.unlink()


def away(platform: Platform, proxy: ReverseProxy, seconds: float, work: Callable[[], None]) -> float:
    """Do the work, during which the platform goes away; how long it took."""
    gone = threading.Event()

    def go() -> None:
        time.sleep(0.5)
        platform.stop()
        gone.set()
        time.sleep(seconds)
        platform.start()

    begun = time.monotonic()
    leaving = threading.Thread(target=go)
    leaving.start()
    try:
        work()
        assert gone.is_set(), "the pull was over before the platform went away"
    finally:
        leaving.join()
    return time.monotonic() - begun


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["profiles", "database"])
def test_an_outage_ends_no_pull(kind: str, what: str, tmp_path: Path, define: Callable[..., None]) -> None:
    profiles = 400
    platform = Platform(profiles, EVENTS, latency=0.1)
    proxy = KINDS[kind](tmp_path, platform.port)
    with up(platform, proxy):
        define(proxy.url, max_connections=16)
        away(platform, proxy, 1, lambda: (pull if what == "profiles" else pull_database)(profiles, tmp_path))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seconds", [1, 2, 5, 20])
@pytest.mark.parametrize("connections", [4, 16, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_outages(kind: str, connections: int, seconds: float, tmp_path: Path, define: Callable[..., None]) -> None:
    profiles, took, times = 40 * connections, [], 20
    for _ in range(times):
        platform = Platform(profiles, EVENTS, latency=0.1)
        proxy = KINDS[kind](tmp_path, platform.port)
        with up(platform, proxy):
            define(proxy.url, max_connections=connections)
            took.append(away(platform, proxy, seconds, lambda: pull(profiles, tmp_path)))
    print(f"\n{kind}, away {seconds} s, {connections} connections: {len(took)} of {times}, {max(took):.1f} s at most")


RATE = 20
"""Calls a second that nginx lets through."""

LIMITS = {
    f"burst {burst or 0} {status}": f"limit_req zone=r {f'burst={burst}' if burst else ''}; limit_req_status {status};"
    for burst in ("", "5", "5 nodelay")
    for status in (503, 429)
}


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("connections", [4, 16, 64])
@pytest.mark.parametrize("limit", LIMITS)
def test_limits_of_nginx(limit: str, connections: int, tmp_path: Path, define: Callable[..., None]) -> None:
    """Within 1.5 times what the limit alone takes; under 5 % refused after the first ten seconds."""
    took, answers = limited(LIMITS[limit], limit, connections, 300, tmp_path, define)
    assert took <= 1.5 * 300 / RATE
    assert refused_of(answers, after=10) < 0.05


def test_a_limit_of_nginx(tmp_path: Path, define: Callable[..., None]) -> None:
    """In short: a limit that refuses what does not come evenly, as nginx does by default (503).

    The bounds are those of a crowded machine: the pace itself has its tests in ``test_pace``, on a clock of their own.
    """
    took, answers = limited("limit_req zone=r burst=5;", "burst 5 503", 16, 160, tmp_path, define)
    assert took <= 5 * 160 / RATE  # the slowest pace, a call a second, would take twenty times as long
    assert refused_of(answers) < 0.5  # without a pace nearly all are


def refused_of(answers: list[tuple[float, int]], after: float = 0.0) -> float:
    """The share that was refused, from so many seconds after the first answer on."""
    later = [status for at, status in answers if at >= answers[0][0] + after]
    return sum(status != 200 for status in later) / max(1, len(later))


def limited(
    location: str, name: str, connections: int, profiles: int, folder: Path, define: Any
) -> tuple[float, list[tuple[float, int]]]:
    """Seconds of the pull, and nginx's answers."""
    platform = Platform(profiles, EVENTS)
    zone = f"limit_req_zone $binary_remote_addr zone=r:1m rate={RATE}r/s;"
    proxy = Nginx(folder, platform.port, http=zone, location=location)
    with up(platform, proxy):
        define(proxy.url, max_connections=connections)
        pull(profiles, folder)
    answers = proxy.statuses()
    took, refused = answers[-1][0] - answers[0][0], refused_of(answers, after=10)
    figures = f"{took:.1f} s of {profiles / RATE:.0f} s, {refused:.1%} refused after 10 s ({proxy.summary()})"
    print(f"\nlimit_req {name}, {connections} connections: {figures}")
    return took, answers


COUNTED = """stick-table type ip size 1m expire 60s store http_req_rate(10s)
  http-request track-sc0 src
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 200 }"""


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("connections", [4, 16, 64])
def test_a_limit_that_counts_refusals_too(connections: int, tmp_path: Path, define: Callable[..., None]) -> None:
    """HAProxy's own way: who goes on asking while refused stays refused."""
    profiles = 600
    platform = Platform(profiles, EVENTS)
    proxy = HAProxy(tmp_path, platform.port, frontend=COUNTED)
    with up(platform, proxy):
        define(proxy.url, max_connections=connections)
        begun = time.monotonic()
        pull(profiles, tmp_path)
    print(
        f"\nHAProxy, 200 in 10 s, {connections} connections: {time.monotonic() - begun:.1f} s for {profiles} profiles"
    )
