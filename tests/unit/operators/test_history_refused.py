"""What a pull of profiles is refused for, before any request or write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.testing import Emulator
from tests.unit.operators.profile_history import Connect, run


class TestRefused:
    """Wrong input ends before any request or write."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"profiles": "no address"}, "email"),
            ({"profiles": ["ann@example.com", {"xxh": "1"}]}, r"profiles\[1\]: xxh"),
            ({"date_from": "yesterday"}, "date_from"),
            ({"date_from": "2026-01-02", "date_to": "2026-01-01"}, "before"),
            ({"list_id": "main"}, "list_id"),
            ({"target": "history.txt"}, "history.txt"),
            ({"target": 5}, "target"),
            ({"on_profile_error": "ignore"}, "on_profile_error"),
            ({"on_profile_error": ["skip"]}, r"on_profile_error: expected 'fail' or 'skip', got \['skip'\]"),
            ({"event_key_by": ["row"]}, r"event_key_by: expected 'row' or 'event_id', got \['row'\]"),
            ({"max_failed_profiles": -1}, "max_failed_profiles"),
            ({"concurrency": 0}, "concurrency"),
        ],
    )
    def test_constants_at_the_parse(self, arguments: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            AltcraftHistoryOperator(
                task_id="pull", **{"profiles": "ann@example.com", "target": "file:///tmp/a.parquet"} | arguments
            )

    @pytest.mark.parametrize(
        ("rendered", "said"),
        [
            ({"profiles": "{{ 'no address' }}"}, "email"),
            ({"profiles": "{{ ['ann@example.com'] }}"}, "tojson"),
            ({"date_from": "{{ 'yesterday' }}"}, "date_from"),
            ({"date_to": "{{ '' }}"}, "date_to"),
            ({"list_id": "{{ 'main' }}"}, "list_id"),
            ({"target": "{{ 'history.txt' }}"}, "history.txt"),
            ({"on_profile_error": "{{ 'ignore' }}"}, "on_profile_error"),
        ],
    )
    def test_templates_when_the_task_runs(
        self, api: Emulator, rendered: dict[str, Any], said: str, tmp_path: Path
    ) -> None:
        arguments = {"profiles": "ann@example.com", "target": str(tmp_path / "a.parquet")} | rendered
        with DAG("d", schedule=None):
            operator = AltcraftHistoryOperator(task_id="pull", **arguments)
        operator.render_template_fields({})
        with pytest.raises(AirflowFailException, match=said):
            operator.execute({})
        assert api.requests == []
        assert list(tmp_path.iterdir()) == []

    def test_no_database_named_anywhere(self, api: Emulator, connect: Connect, tmp_path: Path) -> None:
        connect(api, list_id=None)
        with pytest.raises(AirflowFailException, match="list_id"):
            run(profiles="ann@example.com", target=str(tmp_path / "a.parquet"))
        assert api.requests == []

    def test_a_target_that_cannot_be_written_is_found_out_before_any_request(
        self, api: Emulator, tmp_path: Path
    ) -> None:
        (tmp_path / "a.parquet").mkdir()
        with pytest.raises(AirflowFailException, match="is a folder; name a file in it"):  # no retry would help
            run(profiles="ann@example.com", target=str(tmp_path / "a.parquet"))
        assert api.requests == []
