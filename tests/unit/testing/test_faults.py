"""Each fault as a client sees it on the wire."""

from __future__ import annotations

import gzip
import json
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from airflow_provider.altcraft.testing import Emulator, faults

HISTORY = "subscribers/history_get"
ANN = "Анна"


@pytest.fixture
def ask(altcraft_api, call):
    """Plays a fault on a question after one profile with two events."""
    profile = altcraft_api.add_profile(email="ann@example.com")
    altcraft_api.add_event(profile, "open", message_name=ANN)
    altcraft_api.add_event(profile, "click", message_name=ANN)

    def play(*played):
        altcraft_api.play(*played)
        return call(HISTORY, list_id=1, email="ann@example.com")

    return play


@pytest.fixture
def raw(altcraft_api):
    """Sends a question on a bare socket; gives the socket."""
    sockets = []

    def send() -> socket.socket:
        host, port = altcraft_api.url.removeprefix("http://").split(":")
        body = json.dumps({"token": altcraft_api.token}).encode()
        one = socket.create_connection((host, int(port)), timeout=20)
        sockets.append(one)
        one.sendall(
            b"POST /api/v1.1/databases/list/ HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        return one

    yield send
    for one in sockets:
        one.close()


def read(one: socket.socket) -> tuple[bytes, str]:
    """All that comes, and how it ends."""
    data = b""
    try:
        while piece := one.recv(65536):
            data += piece
    except ConnectionResetError:
        return data, "reset"
    except TimeoutError:
        return data, "open"
    return data, "closed"


# On the wire


def test_reset(altcraft_api, raw):
    altcraft_api.play(faults.reset())
    assert read(raw()) == (b"", "reset")


def test_reset_during_body(altcraft_api, raw):
    altcraft_api.play(faults.reset_during_body(9))
    data, end = read(raw())
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert data.endswith(b'\r\n\r\n{"data":[')
    assert end == "reset"


def test_close_before_response(altcraft_api, raw):
    altcraft_api.play(faults.close_before_response())
    assert read(raw()) == (b"", "closed")


def test_truncated(altcraft_api, raw, ask):
    altcraft_api.play(faults.truncated(3))
    data, end = read(raw())
    assert data.endswith(b'\r\n\r\n{"d')
    assert end == "closed"
    with pytest.raises(httpx.RemoteProtocolError, match="received 3 bytes, expected"):
        ask(faults.truncated(3))


def test_truncated_chunk(altcraft_api, raw, ask):
    altcraft_api.play(faults.truncated(3, chunked=True))
    data, end = read(raw())
    assert b"\r\ntransfer-encoding: chunked\r\n" in data
    assert data.endswith(b'\r\n\r\n3\r\n{"d\r\n')
    assert end == "closed"
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        ask(faults.truncated(3, chunked=True))


def test_close_after_response(altcraft_api, raw):
    altcraft_api.play(faults.close_after_response())
    data, end = read(raw())
    assert b"connection:" not in data
    assert json.loads(data.partition(b"\r\n\r\n")[2])["error"] == 0
    assert end == "closed"


def test_stall(altcraft_api, raw):
    altcraft_api.play(faults.stall(), faults.stall(5))
    never, during = raw(), raw()
    data = b""
    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < 5:
        data += during.recv(65536)
    assert data.endswith(b'\r\n\r\n{"dat')
    for one in (never, during):
        one.settimeout(0.2)
        assert read(one) == (b"", "open")


def test_drip(altcraft_api, raw):
    altcraft_api.play(faults.drip(400))
    began = time.monotonic()
    data, end = read(raw())
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    length = len(data.partition(b"\r\n\r\n")[2])
    assert length / 400 * 0.9 < time.monotonic() - began < length / 400 + 10
    assert end == "closed"


def test_drip_headers(altcraft_api, raw):
    altcraft_api.play(faults.drip_headers(600))
    began = time.monotonic()
    data, end = read(raw())
    assert json.loads(data.partition(b"\r\n\r\n")[2])["error"] == 0
    # The body alone would take half of that.
    assert (time.monotonic() - began > len(data) / 600 * 0.9, end) == (True, "closed")


def test_drip_ends_when_the_client_leaves(altcraft_api, raw):
    altcraft_api.play(faults.drip_headers(2))  # for minutes
    one = raw()
    one.recv(1)
    one.close()
    deadline = time.monotonic() + 20
    while altcraft_api.open_connections and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not altcraft_api.open_connections


def test_drip_must_move():
    with pytest.raises(ValueError, match="must be above 0"):
        faults.drip(0)


# Late, and of others


def test_latency(ask):
    began = time.monotonic()
    assert len(ask(faults.latency(0.2)).json()["data"]) == 2
    assert time.monotonic() - began >= 0.2
    assert len(ask(faults.ok()).json()["data"]) == 2


def test_status(ask):
    answer = ask(faults.status(503, retry_after=2))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "503 Service Unavailable" in answer.text
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
    answer = ask(faults.status(429, retry_after=until, body="slowly", content_type="text/plain"))
    assert parsedate_to_datetime(answer.headers["retry-after"]) == until
    assert (answer.text, answer.headers["content-type"]) == ("slowly", "text/plain")
    assert ask(faults.status(500, body=b"\x00")).content == b"\x00"
    assert "<h1>520</h1>" in ask(faults.status(520)).text


def test_others_answers(ask):
    page = ask(faults.html(502))
    assert (page.status_code, "502 Bad Gateway" in page.text) == (502, True)
    text = ask(faults.plain("no upstream", 504))
    assert (text.status_code, text.text) == (504, "no upstream")
    assert text.headers["content-type"].startswith("text/plain")
    elsewhere = ask(faults.redirect("http://127.0.0.1:1/"))
    assert (elsewhere.status_code, elsewhere.headers["location"]) == (307, "http://127.0.0.1:1/")
    nothing = ask(faults.empty(204))
    assert (nothing.status_code, nothing.content) == (204, b"")
    assert ask(faults.empty()).headers["content-length"] == "0"


def test_errors_of_the_platform(ask):
    answer = ask(faults.error(503, "try later"))
    assert (answer.status_code, answer.json()) == (503, {"error": 503, "error_text": "try later"})
    assert ask(faults.error(440, "odd")).status_code == 440
    assert ask(faults.error(1234, "odd")).status_code == 400
    assert ask(faults.error(400, "wrong", http_status=200)).status_code == 200
    assert ask(faults.error(403, "no", http_status=403)).status_code == 403


def test_echo_token(altcraft_api, ask):
    assert altcraft_api.token in ask(faults.echo_token()).json()["error_text"]
    page = ask(faults.echo_token(as_html=True, http_status=500))
    assert (page.status_code, altcraft_api.token in page.text) == (500, True)


# Envelopes and bodies


def test_envelopes(ask):
    assert ask(faults.null_data()).json() == {"data": None, "error": 0, "error_text": "Successful operation"}
    assert ask(faults.no_data()).json() == {"error": 0, "error_text": "Successful operation"}
    assert ask(faults.no_error()).json().keys() == {"data"}
    *_, stranger = ask(faults.rows({"action": "soar"}, {"xxh": "f" * 16})).json()["data"]
    assert stranger == {"xxh": "f" * 16}


def test_rows_where_there_were_none(altcraft_api, call):
    altcraft_api.play(faults.rows({"action": "open"}))
    altcraft_api.empty_data = "null"
    assert call(HISTORY, list_id=1, email="nobody@example.com").json()["data"] == [{"action": "open"}]


def test_broken_json(ask):
    for fault in (faults.malformed_json(), faults.truncated_json()):
        answer = ask(fault)
        assert answer.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            answer.json()


def test_encodings(ask):
    answer = ask(faults.charset())
    assert answer.headers["content-type"] == "application/json; charset=windows-1251"
    assert ANN.encode("windows-1251") in answer.content
    assert answer.text.count(ANN) == 2
    assert ask(faults.charset("ascii")).json()["data"][0]["message_name"] == "????"
    assert ask(faults.utf8_bom()).content.startswith(b"\xef\xbb\xbf{")
    answer = ask(faults.wrong_content_type())
    assert answer.headers.get_list("content-type") == ["text/html"]
    assert answer.json()["error"] == 0


def test_gzip(altcraft_api, ask):
    answer = ask(faults.gzip())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["data"]) == 2
    altcraft_api.play(faults.gzip())
    url = f"{altcraft_api.url}/api/v1.1/databases/list/"
    with httpx.stream("POST", url, json={"token": altcraft_api.token}, headers={"accept-encoding": ""}) as stream:
        assert json.loads(gzip.decompress(b"".join(stream.iter_raw())))["error"] == 0
    with pytest.raises(httpx.DecodingError):
        ask(faults.bad_gzip())


def test_chunked(ask):
    answer = ask(faults.chunked(10))
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers
    assert len(answer.json()["data"]) == 2


def test_big_headers(ask):
    assert len(ask(faults.big_headers(50_000)).headers["x-padding"]) == 50_000
    with pytest.raises(httpx.RemoteProtocolError):
        ask(faults.big_headers(500_000))


# The script


def test_script(altcraft_api, call):
    altcraft_api.play(faults.status(500), faults.ok(), faults.status(502))
    altcraft_api.play(faults.status(503))
    altcraft_api.play_forever(faults.status(504), method="databases/list")
    altcraft_api.play_forever(faults.status(507), method="databases/get/")
    assert [call().status_code for _ in range(6)] == [500, 200, 502, 503, 504, 504]
    assert call("databases/get/", id=1).status_code == 507
    assert [request.fault for request in altcraft_api.requests][:3] == ["status(500)", "ok", "status(502)"]
    altcraft_api.reset()
    assert altcraft_api.requests == []
    assert call().status_code == 200
    assert altcraft_api.requests[0].fault is None


def test_script_of_one_profile(altcraft_api, call):
    altcraft_api.play(faults.status(500), lookup="bob@example.com")
    altcraft_api.play(faults.status(502), lookup={"matching": "custom", "field_value": 7}, method=HISTORY)
    ann, bob = ({"list_id": 1, "email": f"{who}@example.com"} for who in ("ann", "bob"))
    custom = {"list_id": 1, "matching": "custom", "field_name": "CRM_ID"}
    assert call(HISTORY, **ann).status_code == 200
    assert call(HISTORY, **custom, field_value=8).status_code == 200
    assert call(HISTORY, **custom, field_value=7).status_code == 502
    assert call(HISTORY, **bob).status_code == 500
    assert call(HISTORY, **bob).status_code == 200


def test_faults_are_values():
    assert faults.latency(1) == faults.latency(1)
    assert repr(faults.stall()) == repr(faults.stall())
    with pytest.raises(AttributeError):
        faults.ok().name = "other"


def test_reset_through_tls(tls_files):
    certificate, key, context = tls_files
    with Emulator(tls=(certificate, key)) as api, httpx.Client(verify=context) as client:
        url, body = f"{api.url}/api/v1.1/databases/list/", {"token": api.token}
        assert api.url.startswith("https://127.0.0.1:")
        assert client.post(url, json=body).json()["error"] == 0
        api.play(faults.reset(), faults.truncated(3))
        # OpenSSL tells a reset as an unexpected end, which httpx puts in its own words.
        with pytest.raises(httpx.TransportError):
            client.post(url, json=body)
        with pytest.raises(httpx.RemoteProtocolError, match="received 3 bytes"):
            client.post(url, json=body)
