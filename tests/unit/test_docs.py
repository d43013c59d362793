"""The docs say what is true: their code runs, their links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.altcraft.testing import Emulator

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(
    [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md")]
)
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    if page.parent.name != "how-to"  # whole DAGs, which tests/integration/test_how_to.py runs
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_the_code_runs(block: str, altcraft_api: Emulator, connect: Callable[..., str]) -> None:
    connect(altcraft_api)
    altcraft_api.add_database(20)
    code = block.replace("https://example.com", altcraft_api.url).replace('"TOKEN"', repr(altcraft_api.token))
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(code, "docs", "exec"), names)
    assert set(names) > {"__name__", "__builtins__"}


def test_there_is_code_to_run() -> None:
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_every_target_of_make_is_helped() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) >= set(phony.split()) - {"clean"}


def test_what_waits_cost() -> None:
    """The table's figures follow from the pauses that waits make."""
    from airflow_provider.altcraft.waiting.state import Pauses

    page = (ROOT / "docs" / "waiting.md").read_text()
    (table,) = re.findall(r"^\| waits \|.*\n\| ---.*\n((?:\|.*\n)+)", page, re.MULTILINE)
    rows = [[float(cell.replace(",", "")) for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert len(rows) >= 4
    for waits, interval, an_hour, a_second in rows:
        pauses = [Pauses(interval).after(poll) for poll in range(1, 2001)]
        assert waits * 3600 / (sum(pauses) / len(pauses)) == pytest.approx(an_hour, rel=0.01)
        assert a_second == round(an_hour / 3600, 1)


def test_the_target_of_the_docs_is_typed(tmp_path: Path) -> None:
    """Its conformance is tested in ``tests/unit/testing``."""
    from mypy import api

    from tests.unit.testing.own_targets import example

    place = tmp_path / "example.py"
    use = "\nfrom airflow_provider.altcraft.targets import Target\n\ntarget: Target = ArrowFile('/tmp/history')\n"
    place.write_text(example() + use)
    options = ["--strict", f"--cache-dir={ROOT}/.mypy_cache", f"--config-file={ROOT}/pyproject.toml"]
    said, errors, status = api.run([*options, str(place)])
    assert (status, errors) == (0, ""), said
