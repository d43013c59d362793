"""The operator and a source of profiles of the user's own that does not fit; ``tests/system`` runs one that does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider.altcraft.extract.sources import ProfileSource
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.testing import Emulator


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    return altcraft_api


class People(ProfileSource):
    """No dataclass, and no call of the base's ``__init__``."""

    template_fields = ("host",)

    def __init__(self, host: str, given: Callable[[str], Any]) -> None:
        self.host = host
        self.given = given

    def lookups(self, client: Any, list_id: int) -> Any:
        return self.given(self.host)


def operator(source: Any, path: Path) -> AltcraftHistoryOperator:
    return AltcraftHistoryOperator(task_id="pull", profiles=source, target=f"{path}/a.jsonl")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda _: None, "expected an iterable of profiles, got NoneType; yield them one by one"),
        (lambda _: {"email": "ann@example.com"}, "expected an iterable of profiles, got dict"),
        (lambda _: "ann@example.com", "expected an iterable of profiles, got str"),
        (lambda host: [f"ann@{host}", None], r"profiles\[1\]: "),
        (lambda host: [f"ann@{host}", {"emial": "x"}], r"profiles\[1\]: .*emial"),
        (lambda host: (int(each) for each in host), "invalid literal"),
    ],
)
def test_what_it_gives_wrongly_is_reported(
    api: Emulator, tmp_path: Path, given: Callable[[str], Any], said: str
) -> None:
    with pytest.raises(AirflowFailException, match=rf"profiles: People\.lookups\(\): .*{said}"):
        operator(People("example.com", given), tmp_path).execute({})
    assert api.requests == []


def test_it_is_shown_without_its_other_attributes() -> None:
    assert repr(People("{{ params.host }}", print)) == "People(host='{{ params.host }}')"


def test_a_class_in_place_of_a_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"profiles: expected a source, got the class People; write People\(…\)"):
        operator(People, tmp_path)


def test_one_that_inherits_nothing_is_refused(tmp_path: Path) -> None:
    class Alone:
        lookups = People.lookups

    with pytest.raises(ValueError, match=r"profiles: Alone has a method `lookups`; let it inherit .*ProfileSource"):
        operator(Alone(), tmp_path)


def test_one_without_lookups_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Nothing: give a method `lookups\(self, client, list_id\)`"):
        type("Nothing", (ProfileSource,), {})
