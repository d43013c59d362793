"""What the emulator refuses, and how: errors of the platform's envelope, statuses of the web server."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider.altcraft.testing import Emulator

GET, ALL = "subscribers/history_get", "subscribers/history_get_all"
WHO = {"list_id": 1, "email": "ann@example.com"}
DAYS = {"list_id": 1, "date_from": "2024-01-01", "date_to": "2024-01-02"}


@pytest.mark.parametrize(
    ("method", "body", "says"),
    [
        (GET, {}, "xxh or matching with its fields is required"),
        (GET, {"email": "a@b"}, "list_id is required"),
        (GET, {**WHO, "list_id": "1"}, "list_id must be an integer"),
        (GET, {**WHO, "list_id": True}, "list_id must be an integer"),
        (GET, {**WHO, "list_id": 0}, "list_id must be above 0"),
        (GET, {**WHO, "list_id": 2}, "list_id: no database 2"),
        (GET, {**WHO, "db_id": 1}, "db_id: unknown field"),
        (GET, {**WHO, "email": 5}, "email must be a string"),
        (GET, {**WHO, "email": None}, "email must be a string"),
        (GET, {**WHO, "email": ""}, "email is empty"),
        (GET, {**WHO, "xxh": "0" * 16}, "email: either xxh or matching, not both"),
        (GET, {"list_id": 1, "xxh": "0" * 16, "matching": "email"}, "matching: either xxh or matching, not both"),
        (GET, {"list_id": 1, "xxh": "XYZ"}, "xxh must be 16 hexadecimal digits"),
        (GET, {"list_id": 1, "matching": "email"}, "email is required"),
        (GET, {**WHO, "matching": "soul"}, "matching: unknown mode 'soul'"),
        (GET, {**WHO, "matching": 1}, "matching must be a string"),
        (GET, {**WHO, "matching": "phone"}, "email does not belong to matching phone"),
        (GET, {**WHO, "phone": "+7"}, "phone does not belong to matching email"),
        (GET, {"list_id": 1, "matching": "email_phone"}, "email or phone is required"),
        (GET, {"list_id": 1, "matching": "push_sub", "provider": "ios"}, "subscription_id is required"),
        (GET, {"list_id": 1, "matching": "custom", "field_name": "a"}, "field_value is required"),
        (GET, {"list_id": 1, "matching": "custom", "field_name": "a", "field_value": 1.5}, "field_value must be"),
        (GET, {"list_id": 1, "matching": "custom", "field_name": "a", "field_value": True}, "field_value must be"),
        (GET, {"list_id": 1, "matching": "profile_id", "profile_id": "5"}, "profile_id must be 24 hexadecimal"),
        (GET, {**WHO, "date_from": "27.09.2024"}, "date_from must be a day as YYYY-MM-DD"),
        (GET, {**WHO, "date_from": "20240927"}, "date_from must be a day as YYYY-MM-DD"),
        (GET, {**WHO, "date_to": "2024-02-30"}, "date_to must be a day as YYYY-MM-DD"),
        (GET, {**WHO, "date_to": ""}, "date_to must be a day as YYYY-MM-DD"),
        (GET, {**WHO, "date_to": None}, "date_to must be a string"),
        (GET, {**WHO, "date_from": "2024-01-02", "date_to": "2024-01-01"}, "date_from is later than date_to"),
        (GET, {**WHO, "format": "csv"}, "format must be json or xml"),
        (ALL, {"list_id": 1, "date_from": "2024-01-01"}, "date_to is required"),
        (ALL, {"list_id": 1, "date_to": "2024-01-01"}, "date_from is required"),
        (ALL, {**DAYS, "limit": 0}, "limit must be above 0"),
        (ALL, {**DAYS, "from_id": "here"}, "from_id must be a cursor"),
        (ALL, {**DAYS, "from_id": "0000000000000000.20011301"}, "from_id must be a cursor"),
        (ALL, {**DAYS, "from_id": 0}, "from_id must be a string"),
        (ALL, {**DAYS, "fields": "email"}, "fields must be an array of strings"),
        (ALL, {**DAYS, "fields": [1]}, "fields must be an array of strings"),
        (ALL, {**DAYS, "email": "a@b"}, "email: unknown field"),
        ("databases/list/", {"from_id": "0"}, "from_id must be an integer"),
        ("databases/get/", {}, "id is required"),
        ("databases/get/", {"id": 5}, "id: no database 5"),
        ("profiles/list", {"list_id": 1}, "list_id: unknown field"),
        ("profiles/list", {}, "db_id is required"),
        ("profiles/list", {"db_id": 1, "from_id": "x"}, "from_id must be 24 hexadecimal digits"),
        ("profiles/list", {"db_id": 1, "query": "all"}, "query must be an object"),
    ],
)
def test_incorrect_request(call, method, body, says):
    answer = call(method, **body)
    assert answer.status_code == 400
    assert answer.json()["error"] == 400
    assert says in answer.json()["error_text"]
    assert "data" not in answer.json()


def test_a_field_the_database_does_not_have(altcraft_api, call):
    altcraft_api.add_database(2, name="Strict", fields=["CRM_ID"])
    altcraft_api.add_profile(list_id=2, email="ann@example.com", custom={"CRM_ID": "7"})
    custom = {"list_id": 2, "matching": "custom", "field_value": "7"}
    assert call(GET, **custom, field_name="CRM_ID").json()["error"] == 0
    for method, body in (
        (GET, {**custom, "field_name": "crm"}),
        (ALL, {**DAYS, "list_id": 2, "fields": ["email", "crm"]}),
        ("profiles/list", {"db_id": 2, "query": {"crm": 1}}),
    ):
        assert call(method, **body).json()["error_text"] == "incorrect request: database 2 has no field 'crm'"


@pytest.mark.parametrize(("raw"), [b"", b"{", b"[]", b'"token"', b"\xff"])
def test_body_that_is_no_object(altcraft_api, raw):
    answer = httpx.post(f"{altcraft_api.url}/api/v1.1/{GET}", content=raw)
    assert answer.json()["error"] == 400
    assert altcraft_api.requests[0].body == {}


def test_token(altcraft_api, call):
    assert call(token="").json() == {"error": 401, "error_text": "token required"}
    assert call(token="stolen").json()["error"] == 401
    assert call(token=None).json()["error"] == 401
    url = f"{altcraft_api.url}/api/v1.1/databases/list/"
    bearer = {"authorization": f"Bearer {altcraft_api.token}"}
    assert httpx.post(url, json={}, headers=bearer).json()["error"] == 0
    assert httpx.post(url, json={}, headers={"authorization": altcraft_api.token}).json()["error"] == 401
    in_url = httpx.post(url, params={"token": altcraft_api.token}, json={"token": altcraft_api.token}).json()
    assert (in_url["error"], "URL" in in_url["error_text"]) == (400, True)
    altcraft_api.auth = ("body",)
    assert httpx.post(url, json={}, headers=bearer).json()["error"] == 401
    altcraft_api.auth = ("header",)
    assert httpx.post(url, json={}, headers=bearer).json()["error"] == 0
    assert call().json()["error"] == 401


def test_rights(altcraft_api, call):
    altcraft_api.add_database(66, name="Main")
    altcraft_api.revoke(66)
    assert altcraft_api.rights == {1}
    for method, body in (
        (GET, {**WHO, "list_id": 66}),
        (ALL, {**DAYS, "list_id": 66}),
        ("databases/get/", {"id": 66}),
        ("profiles/list", {"db_id": 66}),
    ):
        assert call(method, **body).json()["error"] == 403
    assert [each["id"] for each in call().json()["data"]] == [1]
    altcraft_api.grant(66)
    assert call("databases/get/", id=66).json()["error"] == 0


def test_http_status(altcraft_api, call):
    assert call().status_code == 200
    assert call(GET).status_code == 400
    assert call(token="").status_code == 401
    altcraft_api.revoke(1)
    assert call(GET, **WHO).status_code == 403
    altcraft_api.tariff_exhausted = True
    answer = call(GET, **WHO)
    assert (answer.status_code, answer.json()) == (402, {"error": 402, "error_text": "tariff limit reached"})
    altcraft_api.http_status = False
    answer = call(GET, **WHO)
    assert (answer.status_code, answer.json()["error"]) == (200, 402)


@pytest.mark.parametrize(("http_status", "status"), [(True, 400), (False, 200)])
def test_a_profile_that_nobody_is(altcraft_api, call, http_status, status):
    altcraft_api.http_status = http_status
    assert call(GET, **WHO).json() == {"data": [], "error": 0, "error_text": "Successful operation"}
    altcraft_api.unknown_profile = "error"
    answer = call(GET, **WHO)
    assert (answer.status_code, answer.json()) == (status, {"error": 400, "error_text": "profile not found"})


def test_a_missing_slash(altcraft_api, call):
    assert call("databases/list").status_code == 404
    altcraft_api.missing_slash = "redirected"
    answer = call("databases/list")
    assert (answer.status_code, answer.headers["location"]) == (301, "/api/v1.1/databases/list/")
    assert call("databases/get").status_code == 301
    assert call("databases").status_code == call("subscribers/history_get/").status_code == 404
    # What follows it the way browsers do comes as a GET, which no method takes.
    body = {"token": altcraft_api.token}
    followed = httpx.post(f"{altcraft_api.url}/api/v1.1/databases/list", json=body, follow_redirects=True)
    assert (followed.request.method, followed.status_code) == ("GET", 405)
    altcraft_api.missing_slash = "taken"
    assert call("databases/list").json() == call("databases/list/").json()


def test_requests_per_second(altcraft_api, call, monkeypatch):
    altcraft_api.requests_per_second = 3
    answers = [call() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].headers["retry-after"] == "1"
    assert "429 Too Many Requests" in answers[3].text
    import time

    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 1)
    assert call().status_code == 200


def test_web_server(altcraft_api, call):
    for method in ("subscribers/history", "databases/list", "subscribers/history_get/"):
        answer = call(method)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "404 Not Found" in answer.text
    assert httpx.get(altcraft_api.url).status_code == 404
    wrong_verb = httpx.get(f"{altcraft_api.url}/api/v1.1/{GET}")
    assert (wrong_verb.status_code, "405 Method Not Allowed" in wrong_verb.text) == (405, True)
    assert call(padding="x" * 10 * 1024 * 1024).status_code == 413


def test_wrong_use():
    with pytest.raises(ValueError, match="style must be one of new, old, not 'neu'"):
        Emulator(style="neu")
    with pytest.raises(ValueError, match="fraction_digits must be one of 0, 3, 6, 9, None, not 1"):
        Emulator(fraction_digits=1)
    with pytest.raises(ValueError, match="timezone must be an IANA name such as Europe/Riga, not 'Riga'"):
        Emulator(timezone="Riga")
    api = Emulator()
    with pytest.raises(RuntimeError, match="no URL before it is started"):
        _ = api.url
    with pytest.raises(ValueError, match="there is a database 1 already"):
        api.add_database(1)
    with pytest.raises(LookupError, match=r"add_database\(5\) first"):
        api.add_profile(list_id=5)
    with pytest.raises(LookupError, match="no profile with the e-mail or xxh 'ann'"):
        api.add_event("ann", "open")
    with pytest.raises(ValueError, match="xxh must be 16 hexadecimal digits"):
        api.add_profile(xxh="5")
    with pytest.raises(ValueError, match="profile_id must be 24 hexadecimal digits"):
        api.add_profile(profile_id="5")
    api.add_profile(xxh="a" * 16)
    with pytest.raises(ValueError, match="already has a profile with xxh a"):
        api.add_profile(xxh="a" * 16)
