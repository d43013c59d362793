"""Where every server is there, as in CI, a test that skips is a failure of the run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import pytest_sessionfinish

SERVER, ENGINE, DECLARED = (
    "no mariadb server at 127.0.0.1:3306",
    "no engine: Spark needs Java",
    "left out: TestFile has it",
)


@pytest.mark.parametrize(
    ("reason", "given", "fails"),
    [
        (SERVER, "MAY_NOT_SKIP", True),
        (SERVER, "", False),
        (ENGINE, "HAVE_ENGINES", True),
        (ENGINE, "MAY_NOT_SKIP", False),
        (DECLARED, "MAY_NOT_SKIP", False),
        (DECLARED, "HAVE_ENGINES", False),
    ],
)
def test_what_a_skip_means(reason: str, given: str, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAY_NOT_SKIP", "HAVE_ENGINES"):
        monkeypatch.setenv(f"ALTCRAFT_TESTS_{name}", "1" if name == given else "")
    reporter = SimpleNamespace(stats={"skipped": [SimpleNamespace(longrepr=("a.py", 1, f"Skipped: {reason}"))]})
    session: Any = SimpleNamespace(
        config=SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=lambda name: reporter)),
        exitstatus=pytest.ExitCode.OK,
    )
    pytest_sessionfinish(session)
    assert (session.exitstatus == pytest.ExitCode.TESTS_FAILED) is fails
