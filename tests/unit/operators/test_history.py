"""The operator against the emulator: what is written, what is refused, what is reported."""

from __future__ import annotations

import copy
import datetime as dt
import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider.altcraft.client import ProfileLookup
from airflow_provider.altcraft.extract import _progress
from airflow_provider.altcraft.extract.sources import FileProfiles, PlatformProfiles
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.targets import ObjectStorageTarget
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.operators.profile_history import NOON, Connect, keys, rows, run


def test_one_profile_one_day(api: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "ann.parquet"
    result = run(profiles="ann@example.com", date_from="2026-01-02", date_to="2026-01-02", target=str(path))
    (row,) = rows(path)
    assert (row["email"], row["datetime"], row["message_id"], row["list_id"]) == ("ann@example.com", NOON, 2, 1)
    assert json.loads(row["extra"])["note"] == "ж\n\"'"
    assert result.pop("summary")["events"] == 1
    assert result == {
        "uris": [f"file://{path}"],
        "rows": 1,
        "bytes": path.stat().st_size,
        "profiles": 1,
        "failed_profiles": [],
        "failed_profiles_uri": None,
        "window": {"start": "2026-01-02T00:00:00+00:00", "end": "2026-01-03T00:00:00+00:00"},
    }


def test_how_many_had_no_events(api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    api.add_profile(email="dan@example.com")
    path = str(tmp_path / "a.parquet")
    run(profiles=["ann@example.com", "dan@example.com", "nobody@example.com"], target=path)
    assert "2 of 3 profiles had no event within the window" in caplog.text
    run(profiles="ann@example.com", target=path)
    assert "None of" not in caplog.text
    assert warnings_of(caplog) == []


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What this package warns of; Airflow 2.11 warns of `execute` outside a task."""
    ours = (each for each in caplog.records if each.name.startswith("airflow_provider."))
    return [each.getMessage() for each in ours if each.levelno >= logging.WARNING]


def test_a_misspelt_field_is_warned_of_where_nobody_had_events(
    api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crm = [{"matching": "custom", "field_name": "CRMID", "field_value": name} for name in ("ann", "bob")]
    assert run(profiles=crm, target=str(tmp_path / "a.parquet"))["rows"] == 0
    (warning,) = warnings_of(caplog)
    assert warning == (
        "None of the 2 profiles had an event within the window, looked up by custom CRMID in the database of list_id "
        "1: check that the profiles are there, and the spelling of custom fields"
    )
    api.play(faults.error(400, "no such profile"))
    run(profiles=[*crm, "ann@example.com"], target=str(tmp_path / "b.parquet"), on_profile_error="skip", concurrency=1)
    assert len([each for each in caplog.records if "None of" in each.getMessage()]) == 1


def test_several_profiles_in_their_order_each_once(api: Emulator, tmp_path: Path) -> None:
    crm = {"matching": "custom", "field_name": "CRM_ID", "field_value": "ann"}
    profiles = ["cat@example.com", ProfileLookup(email="ann@example.com"), "cat@example.com", crm]
    result = run(profiles=profiles, target=f"file://{tmp_path}/all.parquet")
    found = rows(tmp_path / "all.parquet")
    assert (result["profiles"], result["rows"]) == (3, 9)
    assert [(row["matching"], row["lookup"]) for row in found[::3]] == [
        ("email", "cat@example.com"),
        ("email", "ann@example.com"),
        ("custom", "CRM_ID=ann"),
    ]
    # The same events by two lookups: a row for each, the same keys.
    assert keys(found[3:6]) == keys(found[6:9])


def test_a_second_run_writes_the_same_bytes(api: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    arguments: dict[str, Any] = {"profiles": ["ann@example.com", "bob@example.com"], "target": str(path)}
    run(**arguments)
    first = path.read_bytes()
    api.order = "shuffled"
    run(**arguments)
    assert path.read_bytes() == first


def test_no_profiles_and_no_events(api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run(profiles=[], target=str(tmp_path / "a.parquet"))["rows"] == 0
    assert "no profiles" in caplog.text
    result = run(profiles=["ann@example.com"], date_from="2030-01-01", target=str(tmp_path / "b.parquet"))
    assert (result["rows"], rows(tmp_path / "b.parquet")) == (0, [])


def test_more_events_than_a_batch(api: Emulator, tmp_path: Path) -> None:
    api.seed(profiles=300, events_per_profile=100, start=NOON, days=3)
    result = run(profiles=[f"user{number}@example.com" for number in range(300)], target=str(tmp_path / "a.parquet"))
    assert result["rows"] == 30_000
    assert len(set(keys(rows(tmp_path / "a.parquet")))) == 30_000


def test_concurrency_is_bounded(api: Emulator, connect: Connect, tmp_path: Path) -> None:
    connect(api, max_connections=8)
    api.seed(profiles=40, events_per_profile=1, start=NOON)
    api.latency = 0.02
    profiles = [f"user{number}@example.com" for number in range(40)]
    run(profiles=profiles, target=str(tmp_path / "a.parquet"), concurrency=2)
    assert len({request.peer for request in api.requests}) == 2
    api.reset()
    run(profiles=profiles, target=str(tmp_path / "a.parquet"), concurrency=99)
    assert len({request.peer for request in api.requests}) == 8


class TestShards:
    """A part of the profiles, written to a place of its own."""

    PROFILES = ("ann@example.com", "bob@example.com", "cat@example.com")

    def test_of_whatever_gives_profiles(self, api: Emulator, tmp_path: Path) -> None:
        (tmp_path / "who.csv").write_text("email\n" + "\n".join(self.PROFILES))
        for given in (list(self.PROFILES), lambda: iter(self.PROFILES), FileProfiles(str(tmp_path / "who.csv"))):
            (tmp_path / "out").mkdir()
            path = str(tmp_path / "out" / "{shard}.parquet")
            results = [run(profiles=given, target=path, shard=(number, 4)) for number in range(4)]
            assert sum(result["profiles"] for result in results) == 3
            files = sorted((tmp_path / "out").iterdir())
            assert [file.name for file in files] == [f"000{number}-of-0004.parquet" for number in range(4)]
            assert sum(len(rows(file)) for file in files) == 9
            shutil.rmtree(tmp_path / "out")

    def test_one_place_for_all_is_refused(self, api: Emulator, tmp_path: Path) -> None:
        for arguments, said in (
            ({"target": str(tmp_path / "a.parquet"), "shard": (0, 2)}, "each would replace what another has written"),
            ({"target": str(tmp_path / "{shard}.parquet")}, "the pull has no shard"),
            ({"target": f"{tmp_path}/a/", "shard": (1, 2)}, "each would replace"),
        ):
            with pytest.raises(AirflowFailException, match=said):
                run(profiles=self.PROFILES, **arguments)
        assert list(tmp_path.iterdir()) == []
        assert api.requests == []
        assert run(profiles=list(self.PROFILES), target=str(tmp_path / "a.parquet"), shard=(0, 1))["rows"] == 9

    @pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0), 1, (0,), (0, 1, 2), (True, 2), "0 of 2", (0.0, 2)])
    def test_what_is_no_shard_is_refused_at_the_parse(self, shard: Any) -> None:
        with pytest.raises(ValueError, match=r"^shard: "):
            AltcraftHistoryOperator(task_id="pull", profiles=[], target="/a/{shard}.csv", shard=shard)

    def test_templates(self, api: Emulator, tmp_path: Path) -> None:
        """A source may be shared by tasks and runs: rendering leaves it as it is."""
        source = FileProfiles(str(tmp_path / "{{ ds }}.csv"))
        for day in ("2026-01-01", "2026-01-02"):
            (tmp_path / f"{day}.csv").write_text(f"email\n{self.PROFILES[0]}\n")
            operator = AltcraftHistoryOperator(
                task_id="pull",
                profiles=source,
                target=str(tmp_path / "{{ ds }}-{shard}.parquet"),
                shard=("{{ part }}", "2"),
            )
            for part in range(2):
                again = copy.copy(operator)
                again.render_template_fields({"ds": day, "part": part})  # type: ignore[typeddict-unknown-key]
                assert again.profiles.path == str(tmp_path / f"{day}.csv")
                again.execute({})
            found = [rows(tmp_path / f"{day}-000{part}-of-0002.parquet") for part in range(2)]
            assert sorted(map(len, found)) == [0, 3]
        assert source.path == str(tmp_path / "{{ ds }}.csv")

    def test_a_source_that_does_not_fit_ends_before_any_request(self, api: Emulator, tmp_path: Path) -> None:
        (tmp_path / "who.csv").write_text("email\nann@example.com\n\nsecret\n")
        with pytest.raises(AirflowFailException, match=r"who\.csv, line 4, column 'email': email: ") as caught:
            run(profiles=FileProfiles(str(tmp_path / "who.csv")), target=str(tmp_path / "a.parquet"))
        assert "secret" not in str(caught.value)
        assert api.requests == []
        api.play_forever(faults.error(403, "no access"))
        with pytest.raises(AirflowFailException, match="error 403"):
            run(profiles=PlatformProfiles(), target=str(tmp_path / "a.parquet"))
        assert [path.name for path in tmp_path.iterdir()] == ["who.csv"]


def test_every_text_is_a_template(api: Emulator, tmp_path: Path) -> None:
    with DAG("d", schedule=None):
        operator = AltcraftHistoryOperator(
            task_id="pull",
            profiles=[
                "{{ name }}@example.com",
                {"matching": "custom", "field_name": "CRM_ID", "field_value": "{{ name }}"},
            ],
            target=ObjectStorageTarget(f"{tmp_path}/{{{{ ds }}}}.jsonl"),
            list_id="{{ list_id }}",
            date_from="{{ ds }}",
            date_to="{{ ds }}",
            on_profile_error="{{ policy }}",
            altcraft_conn_id="altcraft_{{ which }}",
        )
    context: Any = {"name": "ann", "ds": "2026-01-02", "list_id": 1, "policy": "fail", "which": "default"}
    operator.render_template_fields(context)
    result = operator.execute(context)
    assert result["uris"] == [f"file://{tmp_path}/2026-01-02.jsonl"]
    assert (result["rows"], result["profiles"]) == (2, 2)
    assert {request.body["date_from"] for request in api.requests} == {"2026-01-01"}


def test_profiles_as_json_text(api: Emulator, tmp_path: Path) -> None:
    with DAG("d", schedule=None):
        operator = AltcraftHistoryOperator(
            task_id="pull", profiles="{{ people | tojson }}", target=str(tmp_path / "a.parquet")
        )
    operator.render_template_fields({"people": ["ann@example.com", "bob@example.com"]})
    assert operator.execute({})["profiles"] == 2


def test_progress_is_reported(
    api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(_progress, "EVERY", 0.0)
    run(profiles=["ann@example.com", "bob@example.com"], target=str(tmp_path / "a.parquet"), concurrency=1)
    said = [record.getMessage() for record in caplog.records if "of 2 profiles" in record.getMessage()]
    assert said[0].startswith("1 of 2 profiles, 3 events in ")
    assert "s left" in said[0]
    assert f"written to file://{tmp_path}/a.parquet" in said[-1]
    assert "ann@" not in caplog.text


def test_a_long_pull_keeps_a_record_of_how_far_it_is(
    api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ten seconds, also while no answer comes; a pull that is shorter keeps none."""
    kept: list[tuple[str, Any]] = []
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda key, value: kept.append((key, value)))}
    operator = AltcraftHistoryOperator(
        task_id="pull", profiles=["ann@example.com", "bob@example.com"], target=str(tmp_path / "a.parquet")
    )
    operator.execute(context)
    assert kept == []
    monkeypatch.setattr(_progress, "EVERY", 0.2)
    api.play_forever(faults.latency(3), lookup="bob@example.com")
    operator.execute(context)
    assert {key for key, _ in kept} == {"altcraft_pull"}
    records = [value for _, value in kept]
    halfway = next(record for record in records if record["done"] == 1)  # the last one may already say 2
    assert [halfway[name] for name in ("unit", "total", "events", "pages")] == ["profile", 2, 3, None]
    assert halfway["seconds"] == pytest.approx(halfway["seconds_left"], abs=0.1)
    assert dt.datetime.fromisoformat(halfway["recorded_at"]).tzinfo is not None
    assert "example.com" not in json.dumps(records)


def test_a_record_that_cannot_be_kept_ends_no_pull(
    api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("ann@example.com")

    monkeypatch.setattr(_progress, "EVERY", 0.05)
    api.play(faults.latency(1))
    operator = AltcraftHistoryOperator(task_id="pull", profiles="ann@example.com", target=str(tmp_path / "a.parquet"))
    context: Any = {"ti": SimpleNamespace(xcom_push=refuse)}
    assert operator.execute(context)["rows"] == 3
    assert "The record altcraft_pull could not be kept: RuntimeError" in caplog.text
    assert "ann@" not in caplog.text


def test_progress_is_silent_within_its_interval(
    api: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run(profiles=["ann@example.com", "bob@example.com"], target=str(tmp_path / "a.parquet"))
    assert len([record for record in caplog.records if "of 2 profiles" in record.getMessage()]) == 1


def test_runs_that_share_a_target_do_not_share_what_was_rendered(api: Emulator, tmp_path: Path) -> None:
    """As within ``dag.test()``, where mapped tasks and repeated runs come from one DAG object."""
    shared = ObjectStorageTarget(f"{tmp_path}/{{{{ ds }}}}.jsonl")
    with DAG("d", schedule=None):
        operator = AltcraftHistoryOperator(task_id="pull", profiles="ann@example.com", target=shared)
    for day in ("2026-01-01", "2026-01-02"):
        attempt = operator.prepare_for_execution()
        attempt.render_template_fields({"ds": day})
        assert attempt.execute({})["uris"] == [f"file://{tmp_path}/{day}.jsonl"]
    assert shared.path == f"{tmp_path}/{{{{ ds }}}}.jsonl"


def test_the_number_and_the_text_are_one_custom_value(api: Emulator, tmp_path: Path) -> None:
    crm = [{"matching": "custom", "field_name": "CRM_ID", "field_value": value} for value in (7, "7")]
    assert run(profiles=crm, target=str(tmp_path / "a.parquet"))["profiles"] == 1
