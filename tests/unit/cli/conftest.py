"""Commands run in this process."""

from __future__ import annotations

from collections.abc import Callable

import airflow.cli.cli_config  # noqa: F401 - its log goes where stdout was then: not into what a test captures
import pytest

from airflow_provider.altcraft.__main__ import main


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that goes well; gives its output."""

    def run(*arguments: str) -> str:
        main(arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def fail(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command that fails; gives exit code and error, and refuses any output."""

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        assert isinstance(ended.value.code, int)
        (error,) = [line for line in said.err.splitlines() if line.startswith("error: ")]  # others are of the log
        return ended.value.code, error

    return run
