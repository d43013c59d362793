"""Every scripted answer and fault through the sync and the async client: the same events or the same error, in time."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import Any

import pytest

from airflow_provider.altcraft import client
from airflow_provider.altcraft.client import AltcraftClient, AsyncAltcraftClient, HistoryEvent, Retry
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.client.wire import SLACK

ANN = "ann@example.com"
ONE = Retry(attempts=1)
SHORT, LONG = 1.0, 10.0
"""Seconds in which an answer must have come: where none comes, and where one does."""

# fault -> how many events, or (error, code, HTTP status, words of the message)
TABLE: dict[str, tuple[Any, Any]] = {
    "ok": (faults.ok(), 2),
    "latency": (faults.latency(0.05), 2),
    "null data": (faults.null_data(), 0),
    "no data": (faults.no_data(), 0),
    "gzip": (faults.gzip(), 2),
    "chunked": (faults.chunked(7), 2),
    "charset": (faults.charset("windows-1251"), 2),
    "byte-order mark": (faults.utf8_bom(), 2),
    "content type": (faults.wrong_content_type("text/html"), 2),
    "big headers": (faults.big_headers(30_000), 2),
    "another row": (faults.rows({"action": "unheard_of", "datetime": "2026-01-05T00:00:00Z", "x": [1]}), 3),
    "no error": (faults.no_error(), ("UnreadableAnswerError", None, 200, "no field 'error'")),
    "cut-off JSON": (faults.truncated_json(), ("UnreadableAnswerError", None, 200, "cannot be read")),
    "malformed JSON": (faults.malformed_json(), ("UnreadableAnswerError", None, 200, "cannot be read")),
    "html": (faults.html(200), ("UnreadableAnswerError", None, 200, "text/html")),
    "html 502": (faults.html(502), ("ServerError", None, 502, "text/html")),
    "html 404": (faults.html(404), ("BadRequestError", None, 404, "not the API's")),
    "html 401": (faults.html(401), ("BadRequestError", None, 401, "in front of the platform requires")),
    "html 403": (faults.html(403), ("BadRequestError", None, 403, "in front of the platform refuses")),
    "html 429": (faults.html(429), ("RateLimitError", None, 429, "in front of the platform limits")),
    "html 400": (faults.html(400), ("BadRequestError", None, 400, "not the API's")),
    "html 405": (faults.html(405), ("BadRequestError", None, 405, "not the API's")),
    "html 501": (faults.html(501), ("BadRequestError", None, 501, "not the API's")),
    "501 without a page": (faults.status(501), ("BadRequestError", None, 501, "not the API's")),
    "plain": (faults.plain("nothing here"), ("UnreadableAnswerError", None, 200, "text/plain")),
    "empty": (faults.empty(), ("UnreadableAnswerError", None, 200, "empty body")),
    "empty 500": (faults.empty(500), ("ServerError", None, 500, "empty body")),
    "redirect": (faults.redirect("http://127.0.0.1:1/"), ("BadRequestError", None, 307, "redirects")),
    "error 400": (faults.error(400, "wrong"), ("BadRequestError", 400, 400, "error 400: wrong")),
    "error 401": (faults.error(401, "token"), ("TokenError", 401, 401, "error 401: token")),
    "error 402": (faults.error(402, "tariff"), ("TariffError", 402, 402, "error 402")),
    "error 403": (faults.error(403, "access"), ("AccessError", 403, 403, "error 403")),
    "error 400 under 200": (faults.error(400, "wrong", http_status=200), ("BadRequestError", 400, 200, "error 400")),
    "error 401 under 400": (faults.error(401, "token", http_status=400), ("TokenError", 401, 400, "error 401")),
    "error 500 under 200": (faults.error(500, "oops", http_status=200), ("ServerError", 500, 200, "error 500")),
    "error 429 under 200": (faults.error(429, "slow", http_status=200), ("RateLimitError", 429, 200, "error 429")),
    "error 400 under 500": (faults.error(400, "wrong", http_status=500), ("BadRequestError", 400, 500, "error 400")),
    "error 0 under 500": (faults.error(0, "fine", http_status=500), 0),
    "error 500": (faults.error(500, "oops"), ("ServerError", 500, 500, "error 500")),
    "error unknown": (faults.error(1234, "odd"), ("BadRequestError", 1234, 400, "error 1234: odd")),
    "error unknown under 503": (faults.error(1234, "odd", http_status=503), ("ServerError", 1234, 503, "error 1234")),
    "error 429": (faults.error(429, "slow"), ("RateLimitError", 429, 429, "error 429")),
    "429": (faults.status(429), ("RateLimitError", None, 429, "too many")),
    "503 for seconds": (faults.status(503, retry_after=7), ("ServerError", None, 503, "asked to wait 7 s")),
    "503 for too long": (faults.status(503, retry_after=777), ("ServerError", None, 503, "longer than the 120 s")),
    "bad gzip": (faults.bad_gzip(), ("UnreadableAnswerError", None, None, "compression")),
    "reset": (faults.reset(), ("NetworkError", None, None, "broke")),
    "reset during body": (faults.reset_during_body(20), ("NetworkError", None, None, "broke")),
    "close": (faults.close_before_response(), ("NetworkError", None, None, "broke")),
    "truncated": (faults.truncated(20), ("NetworkError", None, None, "broke")),
    "truncated chunks": (faults.truncated(20, chunked=True), ("NetworkError", None, None, "broke")),
    "stall": (faults.stall(), ("RequestTimeoutError", None, None, "within 1 s")),
    "stall during body": (faults.stall(20), ("RequestTimeoutError", None, None, "within 1 s")),
    "drip": (faults.drip(20), ("RequestTimeoutError", None, None, "within 1 s")),
    "drip of headers": (faults.drip_headers(20), ("RequestTimeoutError", None, None, "within 1 s")),
    "broken row": (faults.rows({"action": "x", "datetime": "soon"}), ("UnreadableAnswerError", None, 200, "datetime")),
    "row that is none": (faults.rows({"datetime": 5}), ("UnreadableAnswerError", None, 200, "action")),
}  # fmt: skip


@pytest.fixture
def api(altcraft_api: Emulator) -> Emulator:
    altcraft_api.add_profile(email=ANN)
    for day in (2, 1):
        altcraft_api.add_event(ANN, "open", at=dt.datetime(2026, 1, day, tzinfo=dt.UTC), note="ж" * 20)
    return altcraft_api


def outcome(error: BaseException) -> tuple[Any, ...]:
    assert isinstance(error, client.AltcraftError)
    return (type(error).__name__, error.code, error.http_status, str(error), error.text, error.method)


def by_sync(api: Emulator, calls: int = 1, **options: Any) -> Any:
    options_ = {"retry": ONE, "timeout": LONG, "outage_timeout": 0} | options
    with AltcraftClient(api.url, api.token, list_id=1, **options_) as asking:
        try:
            return [asking.get_history(ANN) for _ in range(calls)][-1]
        except Exception as error:
            return outcome(error)


def by_async(
    api: Emulator, kind: type[AsyncAltcraftClient] = AsyncAltcraftClient, calls: int = 1, **options: Any
) -> Any:
    async def ask() -> Any:
        options_ = {"retry": ONE, "timeout": LONG, "outage_timeout": 0} | options
        async with kind(api.url, api.token, list_id=1, **options_) as asking:
            try:
                return [await asking.get_history(ANN) for _ in range(calls)][-1]
            except Exception as error:
                return outcome(error)

    return asyncio.run(ask())


def by_bulk(api: Emulator, **options: Any) -> Any:
    return by_async(api, BulkClient, **options)


@pytest.mark.parametrize(("fault", "expected"), TABLE.values(), ids=TABLE)
def test_the_same_from_each(api: Emulator, fault: Any, expected: Any) -> None:
    found, timeout = [], SHORT if "within 1 s" in str(expected) else LONG
    for ask in (by_sync, by_async, by_bulk):
        api.reset()
        api.play(fault)
        started = time.monotonic()
        found.append(ask(api, timeout=timeout))
        assert time.monotonic() - started < timeout + SLACK
        assert len(api.requests) == 1
    assert all(other == found[0] for other in found)
    if isinstance(expected, int):
        assert len(found[0]) == expected
        assert [type(event) for event in found[0]] == [HistoryEvent] * expected
        assert [event.datetime for event in found[0]] == sorted(event.datetime for event in found[0])
    else:
        kind, code, status, words = expected
        assert found[0][:3] == (kind, code, status)
        assert words in found[0][3]
        assert found[0][3].startswith("subscribers/history_get: ")
        assert found[0][5] == "subscribers/history_get"


@pytest.mark.parametrize("ask", [by_sync, by_async, by_bulk], ids=["sync", "async", "bulk"])
class TestRetry:
    """What is tried again."""

    QUICK = Retry(attempts=4, wait_initial=0.001, wait_max=0.01)

    @pytest.mark.parametrize("name", [name for name, (_, expected) in TABLE.items() if not isinstance(expected, int)])
    def test_by_the_kind_of_error(self, api: Emulator, ask: Any, name: str) -> None:
        fault, (kind, *_) = TABLE[name]
        if name == "503 for seconds" or "stall" in name or "drip" in name:
            fault = faults.status(503, retry_after=0)
            kind = "ServerError"
        again = issubclass(getattr(client, kind), client.RetriableError) and name != "503 for too long"
        api.play(*[fault] * 4)
        result = ask(api, retry=self.QUICK)
        assert result[0] == kind
        assert len(api.requests) == (4 if again else 1)

    def test_a_pull_waits_out_too_many_requests(self, api: Emulator, ask: Any) -> None:
        api.play(*[faults.status(429)] * 3)
        assert len(ask(api, retry=self.QUICK, outage_timeout=60)) == 2
        assert len(api.requests) == 4

    def test_until_it_goes_well(self, api: Emulator, ask: Any) -> None:
        api.play(faults.reset(), faults.html(502), faults.truncated_json())
        assert len(ask(api, retry=self.QUICK)) == 2
        assert len(api.requests) == 4

    def test_a_page_of_another_server_is_final_only_before_the_first_answer(self, api: Emulator, ask: Any) -> None:
        api.play(faults.ok(), faults.html(404), faults.html(403))
        assert len(ask(api, retry=self.QUICK, calls=2)) == 2
        assert len(api.requests) == 4

    @pytest.mark.parametrize("as_date", [False, True])
    def test_retry_after_is_waited_for(self, api: Emulator, ask: Any, as_date: bool) -> None:
        started = time.monotonic()
        at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
        api.play(faults.status(429, retry_after=at if as_date else 1))
        assert len(ask(api, retry=self.QUICK)) == 2
        assert time.monotonic() - started > (0.9 if as_date else 1)  # a date has whole seconds

    def test_stale_connections_are_replaced(self, api: Emulator, ask: Any) -> None:
        api.play(faults.close_after_response())
        assert len(ask(api, retry=self.QUICK)) == 2


@pytest.mark.parametrize(
    ("base_url", "words"),
    [("http://127.0.0.1:1", "refused"), ("http://no-such-host.invalid", "no such host")],
)
def test_could_not_connect_means_that_nothing_was_sent(base_url: str, words: str) -> None:
    async def ask(kind: type[AsyncAltcraftClient]) -> None:
        async with kind(base_url, "token", retry=ONE, outage_timeout=0) as asking:
            await asking.get_history(ANN, list_id=1)

    with AltcraftClient(base_url, "token", retry=ONE) as asking, pytest.raises(client.ConnectError) as sync_error:
        asking.get_history(ANN, list_id=1)
    for kind in (AsyncAltcraftClient, BulkClient):
        with pytest.raises(client.ConnectError) as async_error:
            asyncio.run(ask(kind))
        assert str(sync_error.value) == str(async_error.value)
    assert "nothing was sent" in str(sync_error.value)
    assert words in str(sync_error.value)


def test_a_proxy_of_the_environment_is_used(api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    assert by_sync(api)[0] == by_async(api)[0] == by_bulk(api)[0] == "ConnectError"


def test_the_token_in_a_header(api: Emulator) -> None:
    api.auth = ("header",)
    assert by_sync(api)[0] == by_async(api)[0] == by_bulk(api)[0] == "TokenError"
    assert [len(ask(api, auth="header")) for ask in (by_sync, by_async, by_bulk)] == [2, 2, 2]
    assert "token" not in api.requests[-1].body
    assert api.requests[-1].headers["authorization"] == "Bearer ***"


@pytest.mark.parametrize("style", ["old", "new"])
@pytest.mark.parametrize("list_id_name", ["list_id", "db_id"])
def test_xml_gives_the_same_events(api: Emulator, style: Any, list_id_name: Any) -> None:
    api.style, api.list_id_name = style, list_id_name
    with AltcraftClient(api.url, api.token, list_id=1) as asking:
        for window in ({}, {"date_to": "2026-01-01"}, {"date_to": "2020-01-01"}):
            json, xml = (asking.get_history(ANN, format=form, **window) for form in ("json", "xml"))
            assert [event.model_dump(exclude={"subscription", "subscriptions", "fields"}) for event in xml] == [
                event.model_dump(exclude={"subscription", "subscriptions", "fields"}) for event in json
            ]
        assert api.requests[-1].body["format"] == "xml"
        with pytest.raises(ValueError, match="format"):
            asking.get_history(ANN, format="yaml")  # type: ignore[arg-type]
