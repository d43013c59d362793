"""What errors and logs of stores' libraries must not show."""

from __future__ import annotations

import errno
import logging
import traceback

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider.altcraft._redact import RedactingFilter, redacted, without_secrets

UPLOAD = "https://storage.example.com/upload/b/lake/o?uploadType=resumable&upload_id=ABPt-x_9"
SECRETS = ("ABPt-x_9", "hush", "c2lnbmVk")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Forbidden: {UPLOAD}\nno", "Forbidden: https://storage.example.com/upload/b/lake/o?…\nno"),
        (f"url='{UPLOAD}', x", "url='https://storage.example.com/upload/b/lake/o?…', x"),
        ("Max retries exceeded with url: /o?name=a&upload_id=ABPt-x_9 (x)", "url: /o?name=a&upload_id=… (x)"),
        ("{'X-GUploader-UploadID': 'ABPt-x_9', 'a': 1}", "{'X-GUploader-UploadID': '…', 'a': 1}"),
        ("<UploadId>ABPt-x_9</UploadId>", "<UploadId>…</UploadId>"),
        ("HTTPS://b.example.com/k?X-Amz-Signature=c2lnbmVk&X-Amz-Date=1.", "HTTPS://b.example.com/k?…"),
        ("key?sv=2024&sig=c2lnbmVk%3D&se=1", "key?sv=2024&sig=…&se=1"),
        ("postgresql://ann:hush@db.example.com/x", "postgresql://ann:***@db.example.com/x"),
    ],
)
def test_secrets(text: str, shown: str) -> None:
    assert redacted(text).endswith(shown)
    assert not any(secret in redacted(text) for secret in SECRETS)
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "text",
    ["s3://conn@lake/odd?key=1.parquet", "file:///tmp/a?b=c", "is https://example.com right?", "design: yes", "a sig"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


class LibraryError(Exception):
    """Has its text from elsewhere than its arguments."""

    def __init__(self, url: str) -> None:
        super().__init__(404)
        self.url = url

    def __str__(self) -> str:
        return f"404, url={self.url!r}"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AirflowFailException(f"failed at {UPLOAD}"), AirflowFailException),
        (PermissionError(f"Forbidden: {UPLOAD}"), PermissionError),
        (FileNotFoundError(errno.ENOENT, "no such object", UPLOAD), FileNotFoundError),
        (LibraryError(UPLOAD), RuntimeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_errors_leave_without_them(error: BaseException, kind: type[BaseException]) -> None:
    error.add_note(f"while writing to {UPLOAD}")

    def fail() -> None:
        with without_secrets():
            raise error from OSError(f"cause: {UPLOAD}")

    with pytest.raises(kind) as caught:
        fail()
    shown = "".join(traceback.format_exception(caught.value))
    assert "ABPt" not in shown
    assert "while writing to https://storage.example.com/upload/b/lake/o?…" in shown


def test_an_error_without_secrets_is_the_same_with_its_cause() -> None:
    cause, error = OSError("reset"), ValueError("no")

    def fail() -> None:
        with without_secrets():
            raise error from cause

    with pytest.raises(ValueError, match="no") as caught:
        fail()
    assert caught.value is error
    assert caught.value.__cause__ is cause


def test_a_librarys_log(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("some_library")
    log.addFilter(RedactingFilter())
    error = OSError(UPLOAD)
    log.error("%s failed: %s", "it", error, exc_info=error)
    log.warning("it is 100% done")
    assert "ABPt" not in caplog.text
    assert "it failed: https://storage.example.com/upload/b/lake/o?…" in caplog.text
    assert "100% done" in caplog.text
