"""A client of nothing but httpx: the emulator is evidence only if our own client has no part in it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import trustme

Call = Callable[..., httpx.Response]


@pytest.fixture
def call(altcraft_api) -> Iterator[Call]:
    """Posts a method with the token in the body."""
    with httpx.Client(base_url=f"{altcraft_api.url}/api/v1.1/", timeout=20) as client:

        def post(method: str = "databases/list/", **body: Any) -> httpx.Response:
            return client.post(method, json={"token": altcraft_api.token} | body)

        yield post


@pytest.fixture
def history(call) -> Callable[..., list[dict[str, Any]]]:
    """The rows of ``history_get`` on database 1."""

    def get(**body: Any) -> list[dict[str, Any]]:
        answer = call("subscribers/history_get", **{"list_id": 1} | body).json()
        assert (answer["error"], answer["error_text"]) == (0, "Successful operation")
        return answer["data"]

    return get


@pytest.fixture
def walk(call) -> Callable[..., list[list[dict[str, Any]]]]:
    """The pages of ``history_get_all`` on database 1, to an empty page or a cursor that stands still."""

    def pages(**body: Any) -> list[list[dict[str, Any]]]:
        body = {"list_id": 1, "from_id": "", "date_from": "2000-01-01", "date_to": "2100-01-01"} | body
        found = []
        while True:
            answer = call("subscribers/history_get_all", **body).json()
            assert answer["error"] == 0, answer
            if not answer["data"] or answer["next_from_id"] == body["from_id"]:
                return found
            found.append(answer["data"])
            body["from_id"] = answer["next_from_id"]

    return pages


@pytest.fixture
def tls_files(tmp_path) -> tuple[str, str, ssl.SSLContext]:
    """Files of a certificate and its key, and a context that trusts it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return str(certificate), str(key), context
