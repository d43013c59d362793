"""The emulator's page and its commands: a person pokes at it, by real HTTP."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from airflow_provider.altcraft.testing import Emulator

COMMAND = [sys.executable, "-m", "airflow_provider.altcraft.testing"]
ANN = {"do": "event", "who": "ann@example.com", "action": "confirm"}


@pytest.fixture
def api() -> Iterator[Emulator]:
    with Emulator(record=5) as api:
        yield api


@pytest.fixture
def browser(api: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.url, timeout=10) as client:
        yield client


def history(api: Emulator, email: str, list_id: int = 1) -> list[dict[str, object]]:
    body = {"token": api.token, "list_id": list_id, "matching": "email", "email": email}
    answer = httpx.post(f"{api.url}/api/v1.1/subscribers/history_get", json=body, timeout=10)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, object]] = answer.json()["data"]
    return rows


def test_the_form_lets_ann_confirm_now(api: Emulator, browser: httpx.Client) -> None:
    page = browser.get("/emulator").text
    fields = dict(re.findall(r'name="(\w+)"[^>]* value="([^"]+)"', page.partition("<h2>Play")[0]))
    assert fields.items() >= ANN.items(), "as the page offers it"
    answer = browser.post("/emulator", data=fields, follow_redirects=True)
    assert "ann@example.com, a new profile, did confirm now, in database 1" in answer.text
    assert answer.request.method == "GET", "a reload does nothing again"
    (event,) = history(api, "ann@example.com")
    assert event["action"] == "confirm"
    browser.post("/emulator", data=ANN | {"who": "ann", "action": "click", "campaign_id": "7"})
    assert {(each["action"], each["campaign_id"]) for each in history(api, "ann@example.com")} == {
        ("confirm", 1),
        ("click", 7),
    }
    assert "history_get</td><td>ann@example.com</td>" in browser.get("/emulator").text


def test_another_database(api: Emulator, browser: httpx.Client) -> None:
    api.add_database(20)
    assert "<option selected>20</option>" in browser.get("/emulator").text
    browser.post("/emulator", data=ANN)
    assert history(api, "ann@example.com") == []
    assert len(history(api, "ann@example.com", 20)) == 1


def test_a_fault_is_played_so_many_times(api: Emulator, browser: httpx.Client) -> None:
    said = browser.post(
        "/emulator",
        data={"do": "fault", "fault": "status-503", "times": "2", "lookup": "ann@example.com"},
        headers={"accept": "application/json"},
    )
    assert said.json() == {"said": "status-503 is played on the next 2 requests for ann@example.com"}
    body = {"token": api.token, "list_id": 1, "matching": "email"}
    asked = [("bob", 200), ("ann", 503), ("ann", 503), ("ann", 200)]
    for name, status in asked:
        address = f"{api.url}/api/v1.1/subscribers/history_get"
        assert httpx.post(address, json=body | {"email": f"{name}@example.com"}, timeout=10).status_code == status
    listed = browser.get("/emulator/requests").json()
    assert [(each["lookup"][:3], each["fault"]) for each in listed] == [
        ("bob", None),
        ("ann", "status(503)"),
        ("ann", "status(503)"),
        ("ann", None),
    ]
    assert api.token not in str(listed)
    browser.post("/emulator", data={"do": "reset"})
    assert browser.get("/emulator/requests").json() == []


def test_every_fault_of_the_list_can_be_played(browser: httpx.Client, api: Emulator) -> None:
    kinds = re.findall(r"<option>([a-z][\w-]+)</option>", browser.get("/emulator").text)
    assert len(kinds) > 12
    for kind in kinds:
        said = browser.post("/emulator", data={"do": "fault", "fault": kind}, headers={"accept": "application/json"})
        assert said.json() == {"said": f"{kind} is played on the next request"}
        api.reset()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({}, "do: expected event, fault or reset"),
        ({"do": "event"}, "who, action: expected an e-mail or xxh, and an action"),
        (ANN | {"list_id": "99"}, "list_id: expected one of 1, got 99"),
        (ANN | {"campaign_id": "x"}, "campaign_id: expected a whole number from 1 on, got 'x'"),
        ({"do": "fault", "fault": "status-503", "times": "0"}, "times: expected a whole number from 1 on, got '0'"),
    ],
)
def test_what_does_not_fit_is_said(browser: httpx.Client, form: dict[str, str], said: str) -> None:
    answer = browser.post("/emulator", data=form, headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"said": said})


def test_everything_on_the_page_is_escaped(api: Emulator, browser: httpx.Client) -> None:
    evil = "<script>alert(1)</script>\"'@example.com"
    browser.post("/emulator", data=ANN | {"who": evil, "action": "<b>x</b>"})
    body = {"token": api.token, "list_id": 1, "matching": "email", "email": evil}
    httpx.post(f"{api.url}/api/v1.1/subscribers/<i>", json=body, timeout=10)
    answer = browser.get("/emulator", params={"said": evil})
    assert answer.text.count("&lt;script&gt;alert(1)") == 2
    assert not re.search(r"<script|<b>|<i>", answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert api.token not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example.com"},  # a name that was made to lead here
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
    ],
)
def test_other_sites_are_not_let_in(api: Emulator, browser: httpx.Client, headers: dict[str, str]) -> None:
    assert browser.post("/emulator", data=ANN, headers=headers).status_code == 403
    assert list(api.events()) == []
    own = {"origin": api.url}
    assert browser.post("/emulator", data=ANN, headers=own).status_code == 303


def test_other_machines_are_not_let_in() -> None:
    with Emulator(host="0.0.0.0") as api:
        port = api.url.rpartition(":")[2]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # sends nothing; names the address by which others see this machine
            own = probe.getsockname()[0]
        assert httpx.get(f"http://127.0.0.1:{port}/emulator", timeout=10).status_code == 200
        refused = httpx.get(f"http://{own}:{port}/emulator", timeout=10, headers={"host": f"127.0.0.1:{port}"})
        assert (refused.status_code, "loopback" in refused.text) == (403, True)


def command(*arguments: str, **environment: str) -> tuple[int, str, str]:
    ended = subprocess.run(
        [*COMMAND, *arguments], env=environment or None, capture_output=True, text=True, timeout=60, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_the_commands(api: Emulator) -> None:
    url = ["--url", api.url]
    assert command("do", "ann", "confirm", *url) == (
        0,
        "ann@example.com, a new profile, did confirm now, in database 1\n",
        "",
    )
    assert [event["action"] for event in history(api, "ann@example.com")] == ["confirm"]
    assert command("fault", "reset", "--for", "bob@example.com", *url)[1] == (
        "reset is played on the next request for bob@example.com\n"
    )
    with pytest.raises(httpx.TransportError):
        history(api, "bob@example.com")
    code, listed, _ = command("requests", *url)
    assert code == 0
    assert [line.split()[1:] for line in listed.splitlines()] == [
        ["subscribers/history_get", "ann@example.com"],
        ["subscribers/history_get", "bob@example.com", "reset()"],
    ]
    code, _, error = command("fault", "list", *url)
    assert (code, "expected one of status-503, " in error) == (1, True)
    assert command("reset", ALTCRAFT_EMULATOR_URL=api.url) == (0, "requests and faults are forgotten\n", "")
    assert api.requests == []


def test_a_command_without_an_emulator() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code, _, error = command("requests", "--url", f"http://127.0.0.1:{port}")
    assert (code, error.startswith("--url: expected the URL of an emulator that serves, got http://127")) == (
        1,
        True,
    )
    assert command("reset", PATH="") == (
        1,
        "",
        "--url: expected the URL of an emulator that serves, there or in ALTCRAFT_EMULATOR_URL\n",
    )
