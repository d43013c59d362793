"""What the site of the documentation is made of (``make docs``): no public name and no error text is missing."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))


def test_every_module_that_users_import_from_is_in_the_reference() -> None:
    """Those that the examples, the pages and the tests of names import from."""
    from reference import MARK, PACKAGE

    documented = {
        f"{PACKAGE}.{name}"
        for page in DOCS.rglob("*.md")
        for match in MARK.finditer(page.read_text())
        for name in match[1].split()
    }
    pages = [*DOCS.glob("*.md"), *(DOCS.parent / "example_dags").glob("*.py"), DOCS.parent / "README.md"]
    imported = {
        name for page in pages for name in re.findall(rf"^from ({PACKAGE}\S*) import", page.read_text(), re.MULTILINE)
    }
    assert imported <= documented
    assert len(documented) >= 12


def test_every_public_name_is_in_the_reference() -> None:
    from reference import directives

    for name in ("client", "targets", "operators.history", "extract.sources", "triggers.action"):
        module = importlib.import_module(f"airflow_provider.altcraft.{name}")
        written = set(re.findall(r"^\.\. \w+:: (\w+)", directives(name), re.MULTILINE))
        assert written >= set(module.__all__), name


def test_error_texts_are_read_from_the_code() -> None:
    from error_texts import error_texts, tables

    texts = {text for _, _, text in error_texts()}
    assert len(texts) > 250
    assert "list_id: expected the integer id of a profile database, got …" in texts
    assert "token: missing; expected an API token of the platform" in texts
    assert "`the client is closed`" in tables()
    assert sys.modules["error_texts"].AREAS[""] in tables()
