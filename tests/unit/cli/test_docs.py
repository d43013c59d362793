"""docs/command-line.md shows what the commands print: ``UPDATE_DOCS=1`` writes it again."""

from __future__ import annotations

import datetime as dt
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import time_machine

from airflow_provider.altcraft.__main__ import parser
from airflow_provider.altcraft.testing import Emulator

PAGE = Path(__file__).parents[3] / "docs" / "command-line.md"
BLOCK = re.compile(r"```console\n\$ airflow altcraft (.*)\n((?:.*\n)*?)```")
ANN = "ann@example.com"
AT = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)


@pytest.fixture
def account(altcraft_api: Emulator, connect: Callable[..., str]) -> None:
    """Of a small shop in Moscow."""
    connect(altcraft_api, list_id=20)
    altcraft_api.timezone = "Europe/Moscow"
    altcraft_api.add_database(20, name="Main", description="Покупатели")
    altcraft_api.seed(
        list_id=20, profiles=3, events_per_profile=1200, start=dt.datetime(2026, 11, 20, tzinfo=dt.UTC), days=4
    )
    altcraft_api.add_profile(list_id=20, email=ANN, custom={"CRM_ID": "7"})
    for day, hour, action, message in (
        (0, 9, "send", "Autumn sale"),
        (0, 10, "open", "Autumn sale"),
        (1, 21, "open", "Осенняя распродажа"),
        (1, 22, "click", "Осенняя распродажа"),
    ):
        at = dt.datetime(2026, 10, 31, hour, 15, tzinfo=dt.UTC) + dt.timedelta(days=day)
        altcraft_api.add_event(
            ANN, action, list_id=20, at=at, message_id=5 + day, message_name=message, channel="email"
        )


@pytest.mark.usefixtures("account")
def test_the_page_shows_what_is_printed(
    ask: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text()

    def printed(block: re.Match[str]) -> str:
        said = ask(*shlex.split(block[1])).replace(str(tmp_path), "/home/ann")
        lines = [line.rstrip() for line in said.rstrip().splitlines()]
        return "\n".join(["```console", f"$ airflow altcraft {block[1]}", *lines, "```"])

    with time_machine.travel(AT):
        expected = BLOCK.sub(printed, page)
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(expected)
    assert page == expected
    assert len(BLOCK.findall(page)) == 7


def test_each_command_is_on_the_page() -> None:
    commands = re.findall(r"^\| \[`(\w+)`\]", PAGE.read_text(), re.MULTILINE)
    (subparsers,) = [action for action in parser()._actions if action.dest == "subcommand"]
    assert isinstance(subparsers.choices, dict)
    assert sorted(commands) == sorted(subparsers.choices)
