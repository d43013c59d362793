"""A platform that answers a lookup of nobody by an error: an empty history, or an error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider.altcraft.client import (
    AltcraftClient,
    AltcraftError,
    AsyncAltcraftClient,
    BadRequestError,
    ClientSettings,
    ProfileNotFoundError,
    Response,
)
from airflow_provider.altcraft.client._missing import MissingProfiles
from airflow_provider.altcraft.client._responses import read_envelope
from airflow_provider.altcraft.testing import Emulator, faults

WARNING = "The platform answered {} that it has no such profile"


@pytest.fixture
def api(altcraft_api: Emulator) -> Emulator:
    altcraft_api.unknown_profile = "error"
    altcraft_api.add_event(altcraft_api.add_profile(email="ann@example.com"), "open")
    return altcraft_api


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


@pytest.mark.parametrize("format_", ["json", "xml"])
@pytest.mark.parametrize("http_status", [True, False])
def test_an_empty_history_by_default(
    api: Emulator, caplog: pytest.LogCaptureFixture, http_status: bool, format_: Any
) -> None:
    api.http_status = http_status
    with AltcraftClient(api.url, api.token, list_id=1) as client:
        assert len(client.get_history("ann@example.com", format=format_)) == 1
        for _ in range(3):
            assert client.get_history("bob@example.com", format=format_) == []
    assert api.request_count == 4
    first, total = warnings(caplog)
    assert first.startswith(WARNING.format("1 time"))
    assert total.startswith(WARNING.format("3 times"))
    assert "bob" not in caplog.text


def test_in_an_event_loop(api: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    async def ask() -> None:
        async with AsyncAltcraftClient(api.url, api.token, list_id=1) as client:
            assert await client.get_history("bob@example.com") == []

    asyncio.run(ask())
    (said,) = warnings(caplog)
    assert said.startswith(WARNING.format("1 time"))


@pytest.mark.parametrize(("http_status", "status"), [(True, 400), (False, 200)])
def test_an_error_where_that_is_chosen(api: Emulator, http_status: bool, status: int) -> None:
    api.http_status = http_status
    with (
        AltcraftClient(api.url, api.token, list_id=1, on_missing_profile="error") as client,
        pytest.raises(ProfileNotFoundError, match="has no such profile") as caught,
    ):
        client.get_history("bob@example.com")
    assert (caught.value.code, caught.value.http_status) == (400, status)
    assert isinstance(caught.value, BadRequestError)
    assert api.request_count == 1


def test_other_calls_fail_all_the_same(api: Emulator) -> None:
    api.play_forever(faults.error(400, "profile not found"))
    with AltcraftClient(api.url, api.token, list_id=1) as client:
        for call in (
            client.get_database,
            lambda: list(client.iter_database_history(date_from="2026-01-01", date_to="2026-01-01")),
        ):
            with pytest.raises(ProfileNotFoundError):
                call()


@pytest.mark.parametrize("status", [200, 400, 404])
@pytest.mark.parametrize("code", [400, 404, 440])
@pytest.mark.parametrize(
    "text",
    ["profile not found", "Profile was not found.", "error: profile_not_found", "Profile with email x not found"],
)
def test_texts_that_say_so(code: int, text: str, status: int) -> None:
    answer = Response(status, {}, f'{{"error": {code}, "error_text": "{text}"}}'.encode())
    with pytest.raises(ProfileNotFoundError):
        read_envelope(answer, [])


@pytest.mark.parametrize("text", ["profile ann@example.com not found", "Profile 'ann@example.com' does not exist"])
def test_a_text_that_names_the_profile(text: str) -> None:
    answer = Response(400, {}, f'{{"error": 400, "error_text": "{text}"}}'.encode())
    with pytest.raises(ProfileNotFoundError) as caught:
        read_envelope(answer, ["ann@example.com"])
    assert "ann@" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (400, "profile database not found"),
        (400, "Platform profile processing error: field foo is not valid"),
        (400, "profile field CRM_ID not found"),
        (400, "profile with field CRM_ID: field not found"),
        (400, "no such profile database"),
        (400, "database not found"),
        (401, "profile not found"),
        (403, "profile not found"),
        (500, "profile not found"),
    ],
)
def test_texts_that_say_something_else(code: int, text: str) -> None:
    with pytest.raises(AltcraftError) as caught:
        read_envelope(Response(400, {}, f'{{"error": {code}, "error_text": "{text}"}}'.encode()), [])
    assert not isinstance(caught.value, ProfileNotFoundError)


def test_a_client_of_weeks_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    missing = MissingProfiles()
    for _ in range(1234):
        missing.add()
    missing.close()
    missing.close()
    assert [said.split()[3] for said in warnings(caplog)] == ["1", "10", "100", "1000", "1234"]


def test_a_word_that_is_neither() -> None:
    with pytest.raises(ValueError, match="on_missing_profile: expected 'empty' or 'error', got 'skip'"):
        ClientSettings("https://example.com", "t", on_missing_profile="skip")  # type: ignore[arg-type]
