"""The docs say what is true: their code runs, their links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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


REFERENCE = sorted((ROOT / "docs" / "reference").glob("*.md"))
LINKED = [*PAGES, *REFERENCE, ROOT / "SECURITY.md", ROOT / "tests" / "README.md"]


def text_of(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def sections_of(page: Path) -> set[str]:
    """The anchors that GitHub and the site give a page's headings."""
    titles = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]*)\)", text_of(page)):
        if ":" in link:
            continue
        name, _, section = link.partition("#")
        place = page.parent / name if name else page
        assert place.exists(), link
        assert not section or section in sections_of(place), link


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_web_links_are_well_formed(page: Path) -> None:
    """Those to other sites; with no traffic, so not whether they answer."""
    text = text_of(page)
    for link in [*re.findall(r"\]\((\w+:[^)]*)\)", text), *re.findall(r"<(\w+://[^>]*)>", text)]:
        parts = urlsplit(link)
        local = parts.hostname == "localhost"
        assert parts.scheme == ("http" if local else "https"), link
        assert local or re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), link
        assert re.fullmatch(r"[\w./#?=&%~+-]*", link.partition("://")[2]) or local, link


def test_a_section_that_is_not_there_is_seen() -> None:
    assert "the-account-s-time-zone" not in sections_of(ROOT / "docs" / "connection.md")
    assert "the-accounts-time-zone" in sections_of(ROOT / "docs" / "connection.md")


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
