"""The search of the site of the documentation, in a real Chromium, from the disk: it asks nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import WebDriverWait

from tests.system.browser import chromium

_LOADED = (
    "return [...document.querySelectorAll('script[src], img[src], link[rel=stylesheet]')].map(it => it.src || it.href)"
)
_FOUND = "return [...document.querySelectorAll('#search-results li a')].map(it => it.href)"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "-q", "-d", place / "doctrees", DOCS, place / "html"]
    subprocess.run(list(map(str, command)), check=True)
    return place / "html"


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("confirm remind", "how-to/remind.html"),
        ("Excel", "how-to/excel-list.html"),
        ("late events", "database.html"),
        ("quorum", "waiting.html"),
        ("AltcraftActionSensor", "reference/sensors.html"),
    ],
)
def test_a_page_is_found_without_a_server(site: Path, tmp_path: Path, words: str, page: str) -> None:
    def found(browser: Chrome) -> bool:
        """Whether the page is among the results, which are shown one after another."""
        links = browser.execute_script(_FOUND)
        return any(link.partition("#")[0].partition("?")[0].endswith(page) for link in links)

    with chromium(tmp_path) as browser:
        browser.get(f"{(site / 'search.html').as_uri()}?q={words.replace(' ', '+')}")
        WebDriverWait(browser, 30).until(found)
        loaded = browser.execute_script(_LOADED)
    assert any(str(each).partition("?")[0].endswith("/searchindex.js") for each in loaded)
    assert all(str(each).startswith("file:") for each in loaded)
