"""The emulator of Google Cloud Storage, with three things of the real one that it lacks: `gcs_server.py PORT FOLDER`.

A resumable upload can be cancelled (the answer is 499), an upload can be bound to a generation of its object, and below
`undeletable/` the right to delete is missing, without which no object can be replaced either. An upload of more than
one byte to a key with `refused-400` or `refused-403` in it is refused once it has begun.
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


def refused(request: Any, response: Any) -> bool:
    _, found, status = request.query.get("name", [""])[0].partition("refused-")
    if "upload_id" not in request.query or not found or len(request.data or b"..") < 2:
        return False
    response.status = HTTPStatus(int(status[:3]))
    response.json({"error": {"message": "invalid argument"}})
    return True


def cancel(request: Any, response: Any, storage: Any, *args: Any) -> None:
    if refused(request, response):
        return
    storage.resumable.pop(request.query["upload_id"][0], None)
    response.status = SimpleNamespace(value=499, phrase="Client Closed Request")


def lacks_right(storage: Any, response: Any, bucket: str, name: str) -> bool:
    if not name.startswith("undeletable/"):
        return False
    try:
        storage.get_file_obj(bucket, name)
    except NotFound:
        return False
    response.status = HTTPStatus.FORBIDDEN
    response.json({"error": {"message": "storage.objects.delete denied"}})
    return True


def delete(request: Any, response: Any, storage: Any, *args: Any) -> None:
    if not lacks_right(storage, response, request.params["bucket_name"], request.params["object_id"]):
        objects.delete(request, response, storage, *args)


def insert(request: Any, response: Any, storage: Any, *args: Any) -> None:
    name = request.query.get("name", [""])[0]
    completes = "upload_id" in request.query or request.query.get("uploadType") == ["media"]
    bucket = request.params["bucket_name"]
    if refused(request, response) or (completes and lacks_right(storage, response, bucket, name)):
        return
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
    if methods.get(server.DELETE) is objects.delete:
        methods[server.DELETE] = delete

logging.getLogger().setLevel(logging.CRITICAL)
server.create_server("127.0.0.1", int(sys.argv[1]), True, "lake", sys.argv[2]).run()
