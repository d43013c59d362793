"""The emulator of Google Cloud Storage, with two things of the real one that it lacks: `gcs_server.py PORT FOLDER`.

A resumable upload can be cancelled (the answer is 499), and an upload can be bound to a generation of its object.
"""

from __future__ import annotations

import logging
import sys
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.settings import UPLOAD_API_ENDPOINT


def cancel(request: Any, response: Any, storage: Any, *args: Any) -> None:
    storage.resumable.pop(request.query["upload_id"][0], None)
    response.status = SimpleNamespace(value=499, phrase="Client Closed Request")


def insert(request: Any, response: Any, storage: Any, *args: Any) -> None:
    wanted = request.query.get("ifGenerationMatch")
    if wanted:
        try:
            now = storage.get_file_obj(request.params["bucket_name"], request.query["name"][0])["generation"]
        except NotFound:
            now = "0"
        if wanted[0] != now:
            response.status = HTTPStatus.PRECONDITION_FAILED
            return
    objects.insert(request, response, storage)


for path, methods in server.HANDLERS:
    if path.startswith(f"^{UPLOAD_API_ENDPOINT}/"):
        methods |= {server.POST: insert, server.DELETE: cancel}

logging.getLogger().setLevel(logging.CRITICAL)
server.create_server("127.0.0.1", int(sys.argv[1]), True, "lake", sys.argv[2]).run()
