"""The token stands nowhere; a person's e-mail and phone in no error and in no log above DEBUG."""

from __future__ import annotations

import asyncio
import html
import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from airflow_provider.altcraft.client import (
    AltcraftClient,
    AltcraftError,
    AsyncAltcraftClient,
    ProfileLookup,
    Response,
    Retry,
)
from airflow_provider.altcraft.client._errors import redact
from airflow_provider.altcraft.testing import Emulator, faults

TOKENS = {
    "plain": "abcdefghijklmnqrstuvwxyz",
    "quotes": 'ab"cd\'ef"gh',
    "slashes": "ab/cd\\ef//gh\\\\ij",
    "percent": "ab%2Fcd%25ef%gh",
    "markup": "ab<cd>&ef;</title>gh",
    "pattern": "ab.*+?^$(cd)[ef]{1}|gh",
    "long": "x1" * 200,
    "mixed": "Ab+cD==/eF",
}
LOOKUP = {"matching": "email_phone", "email": "Ann.O'Neill+news@example.com", "phone": "+79001234567"}
ONE = Retry(attempts=1)


def forms(secret: str) -> Iterator[str]:
    """How a server may write it back."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret)[1:-1].replace("/", "\\/")
    yield repr(secret)[1:-1]
    yield html.escape(secret)
    yield quote(secret, safe="")
    yield quote(secret, safe="").lower()
    yield quote_plus(secret)
    yield secret.upper()


def all_texts(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    """Everything that a report of an error may show of it and of those that it hangs together with."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)), repr(getattr(error, "__notes__", "")))
    yield "".join(traceback.format_exception(error))
    yield from all_texts(error.__cause__, seen)
    yield from all_texts(error.__context__, seen)


class Canned:
    """Both kinds of transport."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer

    def send(self, *_: Any) -> Response:
        return self.answer

    def close(self) -> None:
        """Nothing is open."""


def answers(secret: str) -> Iterator[Response]:
    """Answers that say it, in every place of which an error makes words."""
    for form in forms(secret):
        for code in (400, 401, 403, 500, 7):
            yield Response(200, {}, json.dumps({"error": code, "error_text": f"so {form} it is"}).encode())
        yield Response(200, {}, json.dumps({"error": 400, "error_text": {"request": [form]}}).encode())
        yield Response(200, {}, json.dumps({"error": form, form: form}).encode())
        yield Response(200, {}, json.dumps({"error": 0, "data": form}).encode())
        yield Response(
            200, {}, json.dumps({"error": 0, "data": [{form: form, "datetime": form, "count": form}]}).encode()
        )
        row = {"action": "x", "datetime": "2026-01-01T00:00:00Z", "subscription": [form], "subscriptions": {form: form}}
        yield Response(200, {}, json.dumps({"error": 0, "data": [row]}).encode())
        for status in (200, 302, 404, 500):
            yield Response(status, {"content-type": f"text/html; x={form}"}, f"<html><p>{form}</p></html>".encode())
            # So long that a cut falls somewhere within.
            for before in (0, 60, 75, 190):
                title = f"<html><title>{'-' * before}{html.escape(form)}</title>"
                yield Response(status, {"content-type": form, "retry-after": form}, title.encode())
        yield Response(200, {}, json.dumps({"error": 400, "error_text": f"{'-' * 990}{form}"}).encode())


def leaks(text: str, secret: str) -> bool:
    text = text.lower()
    return any(form.lower() in text for form in forms(secret)) or secret[:8].lower() in text


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_the_token_is_in_no_error(token: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    failed = 0
    for answer in answers(token):
        with AltcraftClient("https://example.com", token, list_id=1, retry=ONE, transport=Canned(answer)) as asking:
            try:
                asking.get_history(LOOKUP)
            except AltcraftError as error:
                failed += 1
                for text in all_texts(error, set()):
                    assert not leaks(text, token), text
            for text in (repr(asking), repr(asking.settings), str(asking.settings), repr(vars(asking))):
                assert not leaks(text, token), text
    assert failed > 200
    for record in caplog.records:
        assert not leaks(record.getMessage(), token)


@pytest.mark.parametrize("name", ["email", "phone"])
def test_a_person_is_in_no_error(name: str, caplog: pytest.LogCaptureFixture) -> None:
    value = LOOKUP[name]
    caplog.set_level(logging.INFO)
    for answer in answers(value):
        options: dict[str, Any] = {
            "list_id": 1,
            "transport": Canned(answer),
            "outage_timeout": 0,
            "retry": Retry(2, 0, 0),
        }
        with AltcraftClient("https://example.com", "t0ken-t0ken", **options) as asking:
            try:
                asking.get_history(LOOKUP)
            except AltcraftError as error:
                for text in all_texts(error, set()):
                    assert not leaks(text, value), text
    assert any("Try 1 of 2" in record.getMessage() for record in caplog.records)
    for record in caplog.records:
        assert not leaks(record.getMessage(), value)


@pytest.mark.parametrize(
    "wrong",
    [
        "ann@@example.com",
        {"email": "ann@@example.com"},
        {"matching": "ann@@example.com"},
        {"matching": "phone", "phone": "ann@@example.com"},
        {"matching": "custom", "field_name": "=ann@@example.com", "field_value": 1},
        {"matching": "profile_id", "profile_id": "ann@@example.com"},
    ],
)
def test_nor_in_what_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        ProfileLookup.of(wrong)
    assert "ann@" not in "".join(all_texts(caught.value, set()))


FAULTS = {
    "echo": faults.echo_token(),
    "echo under 401": faults.echo_token(http_status=401),
    "echo in HTML": faults.echo_token(as_html=True, http_status=500),
    "reset": faults.reset(),
    "reset during body": faults.reset_during_body(3),
    "stall": faults.stall(),
    "drip of headers": faults.drip_headers(20),
    "bad gzip": faults.bad_gzip(),
    "malformed": faults.malformed_json(),
}


@pytest.mark.parametrize("auth", ["body", "header"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_on_real_connections(altcraft_api: Emulator, auth: Any, fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Where httpx and httpcore log, and their errors hold the request."""
    token = altcraft_api.token = TOKENS["quotes"]
    caplog.set_level(logging.DEBUG)
    options: dict[str, Any] = {
        "list_id": 1,
        "timeout": 0.3,
        "auth": auth,
        "outage_timeout": 0,
        "retry": Retry(attempts=2),
    }
    altcraft_api.play_forever(fault)

    async def ask() -> None:
        async with AsyncAltcraftClient(altcraft_api.url, token, **options) as asking:
            await asking.get_history(LOOKUP)

    with pytest.raises(AltcraftError) as from_async:
        asyncio.run(ask())
    with AltcraftClient(altcraft_api.url, token, **options) as asking, pytest.raises(AltcraftError) as from_sync:
        asking.get_history(LOOKUP)
    for error in (from_async.value, from_sync.value):
        assert error.__cause__ is None
        assert error.__context__ is None  # a library's error would hold the request
        for text in all_texts(error, set()):
            assert not leaks(text, token), text
    loggers = {record.name.partition(".")[0] for record in caplog.records}
    assert {"httpcore", "airflow_provider"} <= loggers
    for record in caplog.records:
        assert not leaks(record.getMessage(), token), record
        if record.levelno > logging.DEBUG:
            assert not leaks(record.getMessage(), LOOKUP["email"])


def test_a_phone_is_also_masked_without_its_plus() -> None:
    assert redact("79001234567 and +79001234567", ["+79001234567"]) == "*** and ***"


def test_short_values_are_masked_as_words_only() -> None:
    assert redact("no 7 in database 17", ["7"]) == "no *** in database 17"
    assert redact("CRM_ID=7, 7", ["7"]) == "CRM_ID=***, ***"
    assert redact("as it is", ["", "+"]) == "as it is"
