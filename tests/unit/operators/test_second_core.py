"""A pull of many profiles reads large responses in another process, once that pays."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.altcraft.extract._protocol import PullSizes
from airflow_provider.altcraft.extract.decoding.decoder_process import DecoderProcess
from airflow_provider.altcraft.extract.profiles import pull as pull_module
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.testing import Emulator
from tests.unit.operators.whole_database import Connect

START = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    for number in range(60):
        profile = altcraft_api.add_profile(email=f"{number}@example.com")
        for serial in range(40):
            altcraft_api.add_event(profile, "open", at=START + dt.timedelta(minutes=serial), message_name="x" * 200)
    return altcraft_api


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull_module, "cores", lambda: 2)
    monkeypatch.setattr(AltcraftHistoryOperator, "pull_sizes", PullSizes(process_after=1, process_least=1))


def pull(folder: Path, **how: Any) -> bytes:
    target = folder / "history.jsonl"
    AltcraftHistoryOperator(
        task_id="pull",
        profiles=[f"{number}@example.com" for number in range(60)],
        target=str(target),
        date_from="2026-01-01",
        date_to="2026-01-30",
        concurrency=2,
        **how,
    ).execute({})
    return target.read_bytes()


def test_the_output_is_the_same(
    api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    caplog.set_level(logging.INFO)
    alone = pull(tmp_path)
    assert "on a second core" not in caplog.text
    request.getfixturevalue("sizes")
    api.latency = 0.2  # so that the process starts within the pull
    assert pull(tmp_path) == alone
    assert "on a second core" in caplog.text


def test_one_core_is_left_alone(api: Emulator, sizes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull_module, "cores", lambda: 1)
    started: list[Any] = []
    monkeypatch.setattr(DecoderProcess, "start", started.append)
    pull(tmp_path)
    assert not started


def test_a_shard_leaves_other_cores_to_the_other_shards(
    api: Emulator, sizes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(DecoderProcess, "start", started.append)
    pull(tmp_path, shard=(0, 1))
    assert not started
