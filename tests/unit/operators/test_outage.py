"""Pulls and polls of operators through an outage: of the platform as a whole, in the middle of the work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider.altcraft.client import AltcraftError, AsyncAltcraftClient, RetriableError
from airflow_provider.altcraft.extract._protocol import PullSizes
from airflow_provider.altcraft.extract.sources import PlatformProfiles
from airflow_provider.altcraft.operators import events as events_module
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.targets import ObjectStorageTarget, read_manifest
from airflow_provider.altcraft.testing import Emulator, faults
from airflow_provider.altcraft.testing.faults import Fault
from tests.unit.operators.test_events import Store, context, emails, given, post

Connect = Callable[..., str]

PROFILES = [f"user{number}@example.com" for number in range(60)]
HISTORY = "subscribers/history_get"
REVOKED = faults.error(401, "token is revoked")
FAULTS = {"reset": faults.reset(), "503": faults.status(503)}


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api, max_connections=4, outage_timeout=30)
    for email in PROFILES:
        altcraft_api.add_profile(email=email)
    post(altcraft_api, *(email.partition("@")[0] for email in PROFILES))
    altcraft_api.latency = 0.05
    return altcraft_api


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's Variables; the real ones are in the system tests."""
    store = Store()
    monkeypatch.setattr(events_module, "Variables", lambda: store)


@contextmanager
def away(api: Emulator, *, after: int = 12, seconds: float = 1.5, fault: Fault = FAULTS["reset"]) -> Iterator[None]:
    """After so many requests none is answered for a while, at the latest until the block is left."""
    gone, over = threading.Event(), threading.Event()

    def go() -> None:
        while api.request_count < after and not over.is_set():
            time.sleep(0.005)
        api.play_forever(fault)
        gone.set()
        over.wait(seconds)
        api.reset()

    leaving = threading.Thread(target=go)
    leaving.start()
    try:
        yield
        assert gone.is_set(), "all was over before the platform went away"
    finally:
        over.set()
        leaving.join()


def keys(path: Path) -> list[str]:
    found: list[str] = pq.read_table(path).column("event_key").to_pylist()
    return found


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("profiles", [PROFILES, None], ids=["profiles", "database"])
def test_a_poll_for_events_outlasts_it(
    api: Emulator, profiles: list[str] | None, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if profiles is None:  # in small pages, else there is but one request
        monkeypatch.setitem(AsyncAltcraftClient.iter_database_history.__kwdefaults__, "page_size", 4)
    with away(api, after=5, fault=FAULTS[fault]):
        events = given(context(Store()), profiles=profiles)
    assert sorted(emails(events)) == sorted(email.partition("@")[0] for email in PROFILES)


def test_a_poll_for_events_gives_up_and_gives_nothing(api: Emulator, connect: Connect) -> None:
    connect(api, max_connections=4, outage_timeout=1)
    store = Store()
    with away(api, seconds=60), pytest.raises(RetriableError, match="no call was answered for outage_timeout=1 s"):
        given(context(store), profiles=PROFILES)
    assert len(given(context(store), profiles=PROFILES)) == len(PROFILES)


def test_a_poll_for_events_slows_down_where_it_is_refused(api: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    api.latency, api.requests_per_second = 0.0, 5
    assert len(given(context(Store()), profiles=PROFILES[:20])) == 20
    assert [each.getMessage() for each in caplog.records if "requests_per_second" in each.getMessage()] != []


@pytest.mark.parametrize("fault", FAULTS)
def test_no_profile_counts_as_failed_by_an_outage_that_is_over(api: Emulator, tmp_path: Path, fault: str) -> None:
    path = tmp_path / "all.parquet"
    with away(api, fault=FAULTS[fault]):
        result = pull_profiles(path, on_profile_error="skip", max_failed_profiles=0)
    assert (result["rows"], result["failed_profiles"]) == (len(PROFILES), [])
    assert len(set(keys(path))) == len(PROFILES)


def test_nor_by_one_that_ends_when_a_call_is_given_up(api: Emulator, connect: Connect, tmp_path: Path) -> None:
    """The platform is asked whether it is there, and it is: then the profile is asked again."""
    connect(api, max_connections=4, outage_timeout=1)
    api.play_forever(faults.status(500), method=HISTORY)
    ending = threading.Thread(target=end_when_asked, args=(api,))
    ending.start()
    result = pull_profiles(tmp_path / "all.parquet", on_profile_error="skip", max_failed_profiles=0)
    ending.join()
    assert (result["rows"], result["failed_profiles"]) == (len(PROFILES), [])


def end_when_asked(api: Emulator) -> None:
    deadline = time.monotonic() + 30
    while not any(request.method == "databases/list/" for request in api.requests):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    api.reset()


@pytest.mark.parametrize("on_profile_error", ["skip", "fail"])
@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_that_is_too_long_fails_the_task_and_skips_nobody(
    api: Emulator, connect: Connect, tmp_path: Path, on_profile_error: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    connect(api, max_connections=4, outage_timeout=1)
    said = "no call was answered for outage_timeout=1 s"
    with away(api, seconds=60, fault=FAULTS[fault]), pytest.raises(RetriableError, match=said):
        pull_profiles(tmp_path / "all.parquet", on_profile_error=on_profile_error)
    assert "Skipped" not in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_profile_that_fails_by_itself_is_still_skipped(api: Emulator, connect: Connect, tmp_path: Path) -> None:
    """Also when all others wait for it, so that nobody is answered."""
    connect(api, max_connections=4, outage_timeout=1)
    api.play_forever(faults.status(500), lookup=PROFILES[5])
    result = pull_profiles(tmp_path / "all.parquet", on_profile_error="skip", max_failed_profiles=1)
    assert [failed["lookup"]["email"] for failed in result["failed_profiles"]] == [PROFILES[5]]
    assert result["rows"] == len(PROFILES) - 1


def test_a_source_of_profiles_outlasts_it(api: Emulator, tmp_path: Path) -> None:
    """The database is listed before the pull, page by page."""
    with away(api, after=3):
        result = pull_profiles(tmp_path / "all.parquet", profiles=PlatformProfiles(page_size=2))
    assert result["rows"] == len(PROFILES)


@pytest.mark.parametrize("after", [12, 0], ids=["in the middle", "at once"])
def test_a_token_that_is_revoked_ends_it_at_once(api: Emulator, tmp_path: Path, after: int) -> None:
    begun = time.monotonic()
    with away(api, after=after, seconds=60, fault=REVOKED), pytest.raises(AirflowFailException, match="revoked"):
        pull_profiles(tmp_path / "all.parquet", on_profile_error="skip")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("what", ["profiles", "database"])
def test_parts_go_on_after_an_outage_that_was_too_long(
    api: Emulator, connect: Connect, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(api, max_connections=4, outage_timeout=1)
    operator = AltcraftHistoryOperator if what == "profiles" else AltcraftDatabaseHistoryOperator
    monkeypatch.setattr(operator, "pull_sizes", PullSizes(batch_rows=5, kept_profiles=5))
    target = ObjectStorageTarget(f"file://{tmp_path}/parts/", part_rows=5)
    work = (lambda: pull_profiles(target)) if what == "profiles" else (lambda: pull_database(target))
    with away(api, after=10 if what == "database" else 30, seconds=60), pytest.raises(AltcraftError):
        work()
    api.reset()
    result = work()
    assert result["rows"] == len(PROFILES)
    asked_again = api.request_count
    parts = [keys(tmp_path / "parts" / part.name) for part in read_manifest(f"file://{tmp_path}/parts/").parts]
    assert len({key for part in parts for key in part}) == sum(map(len, parts)) == len(PROFILES)
    api.reset()
    pull_profiles(tmp_path / "all.parquet") if what == "profiles" else pull_database(tmp_path / "all.parquet")
    assert asked_again <= 0.8 * api.request_count


def pull_profiles(target: Any, profiles: Any = PROFILES, **more: Any) -> dict[str, Any]:
    return AltcraftHistoryOperator(task_id="pull", profiles=profiles, target=target, **more).execute({})


def pull_database(target: Any) -> dict[str, Any]:
    return AltcraftDatabaseHistoryOperator(
        task_id="pull", date_from="2000-01-01", date_to="2100-01-01", parallel_ranges=1, page_size=2, target=target
    ).execute({})
