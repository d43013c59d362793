"""``on_profile_error``: profiles that the platform gives no history of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider.altcraft.client import ServerError
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.operators.profile_history import rows, run


class TestFailingProfiles:
    """``on_profile_error``."""

    PROFILES = ("ann@example.com", "bob@example.com", "cat@example.com")

    @pytest.fixture
    def broken(self, api: Emulator) -> Emulator:
        api.play_forever(faults.error(400, "bob@example.com is odd"), lookup="bob@example.com")
        return api

    def test_fail(self, broken: Emulator, tmp_path: Path) -> None:
        (tmp_path / "a.parquet").write_bytes(b"as it was")
        with pytest.raises(AirflowFailException) as caught:
            run(profiles=self.PROFILES, target=str(tmp_path / "a.parquet"))
        said = str(caught.value)
        assert "error 400: *** is odd" in said
        assert "profile 2 of 3, looked up by email" in said
        assert "bob@" not in said
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.parquet", b"as it was")]

    def test_skip(self, broken: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        result = run(profiles=self.PROFILES, target=str(tmp_path / "a.parquet"), on_profile_error="skip")
        assert {row["email"] for row in rows(tmp_path / "a.parquet")} == {"ann@example.com", "cat@example.com"}
        (failed,) = result["failed_profiles"]
        assert failed["lookup"] == {"matching": "email", "email": "bob@example.com"}
        assert "error 400" in failed["error"]
        report = tmp_path / "a.parquet.failed.jsonl"
        assert result["failed_profiles_uri"] == f"file://{report}"
        assert [json.loads(line) for line in report.read_text().splitlines()] == [failed]
        assert "Skipped profile 2 of 3" in caplog.text
        assert "bob@" not in caplog.text

    def test_what_failed_once_is_not_reported_for_ever(self, broken: Emulator, tmp_path: Path) -> None:
        arguments: dict[str, Any] = {"target": str(tmp_path / "a.parquet"), "on_profile_error": "skip"}
        run(profiles=self.PROFILES, **arguments)
        broken.reset()
        result = run(profiles=self.PROFILES, **arguments)
        assert (result["failed_profiles"], result["failed_profiles_uri"], result["rows"]) == ([], None, 9)
        assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]

    def test_skip_has_a_cap(self, api: Emulator, tmp_path: Path) -> None:
        for email in self.PROFILES[1:]:
            api.play_forever(faults.error(400, "no"), lookup=email)
        arguments: dict[str, Any] = {"target": str(tmp_path / "a.parquet"), "on_profile_error": "skip"}
        with pytest.raises(AirflowFailException, match="More than max_failed_profiles=1"):
            run(profiles=self.PROFILES, max_failed_profiles=1, **arguments)
        assert list(tmp_path.iterdir()) == []
        assert len(run(profiles=self.PROFILES, max_failed_profiles=2, **arguments)["failed_profiles"]) == 2

    @pytest.mark.parametrize("fault", [faults.error(400, "no"), faults.status(503), faults.html(404)])
    def test_nothing_good_is_replaced_where_no_profile_could_be_had(
        self, api: Emulator, tmp_path: Path, fault: Any
    ) -> None:
        (tmp_path / "a.parquet").write_bytes(b"as it was")
        api.play_forever(fault)
        with pytest.raises((AirflowFailException, ServerError)):
            run(profiles=self.PROFILES, target=str(tmp_path / "a.parquet"), on_profile_error="skip")
        assert (tmp_path / "a.parquet").read_bytes() == b"as it was"

    def test_a_wrong_address_is_nobodys_own_trouble(self, api: Emulator, tmp_path: Path) -> None:
        api.play(faults.html(404))
        with pytest.raises(AirflowFailException, match="is the connection's host right"):
            run(profiles=self.PROFILES, target=str(tmp_path / "a.parquet"), on_profile_error="skip")

    def test_what_may_pass_is_left_to_the_retries_of_airflow(self, api: Emulator, tmp_path: Path) -> None:
        api.play_forever(faults.status(503), lookup="bob@example.com")
        with pytest.raises(ServerError):
            run(profiles=self.PROFILES, target=str(tmp_path / "a.parquet"))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("code", [401, 402, 403])
    def test_what_hits_every_profile_is_never_skipped(self, api: Emulator, tmp_path: Path, code: int) -> None:
        api.play_forever(faults.error(code, "no"))
        with pytest.raises(AirflowFailException, match=f"error {code}"):
            run(profiles=self.PROFILES, target=str(tmp_path / "a.parquet"), on_profile_error="skip")
