"""The page in Airflow: who may see it, what it shows, and that nothing that comes from outside becomes markup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from getpass import getuser
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome

from airflow_provider.altcraft.testing import Emulator
from tests.system import page
from tests.system.browser import ON_AIRFLOW_3, Screen, chromium

ALLOWED = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "footer",
    "section",
    "div",
    "span",
    "p",
    "b",
    "bdi",
    "h1",
    "h2",
    "h3",
    "ul",
    "li",
    "code",
    "a",
    "details",
    "summary",
    "table",
    "tr",
    "th",
    "td",
    "svg",
    "rect",
    "form",
    "button",
}
pytestmark = pytest.mark.skipif(not ON_AIRFLOW_3, reason="left out: Airflow 2.11 has no pages of plugins of this kind")


@pytest.fixture(scope="module")
def api() -> Iterator[Emulator]:
    with Emulator(token=page.TOKEN) as emulator:
        page.fill(emulator)
        yield emulator


@pytest.fixture(scope="module")
def platform(api: Emulator) -> str:
    return api.url


@pytest.fixture(scope="module")
def site(airflow_db: Path, api: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[page.Site]:
    with page.site(tmp_path_factory.mktemp("airflow"), airflow_db, api) as made:
        yield made


@pytest.fixture(scope="module")
def paths(site: page.Site) -> list[str]:
    tasks = ("database", "profiles", "empty", "campaigns", "hostile", "mapped", "other", "wait")
    long = [site.task(task, page.LONG_DAG) for task in (page.LONG, f"wait-{page.LONG}")]
    dags = [f"/altcraft/dag?dag_id={dag}" for dag in ("shop", page.LONG_DAG, "nothing")]
    under_way = site.task("pull", "slow")
    return ["/altcraft/", under_way, *dags, *map(site.task, tasks), site.task("mapped", map_index=1), *long]


@pytest.fixture(scope="module")
def driver(site: page.Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A Chromium in which the viewer ann has logged in."""
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        opened.get(f"{site.url}/altcraft/")
        opened.add_cookie({"name": "_token", "value": site.tokens["ann"]})
        yield opened


class Markup(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def text_of(html: str) -> str:
    """What a reader sees, roughly."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.partition("</style>")[2]))


def test_nobody_sees_it_without_a_right(site: page.Site, paths: list[str]) -> None:
    for path in paths:
        assert site.ask(path, None)[0] == 401
        assert site.ask(path, "no token")[0] == 403
        assert site.ask(path, "ann")[0] == site.ask(path, "ann", cookie=True)[0] == 200
    for path in (site.task("profiles", "secret"), "/altcraft/dag?dag_id=secret"):
        assert site.ask(path, None)[0] == 401
        assert site.ask(path, "ann")[0] == 403
        assert site.ask(path, "root")[0] == 200
    twice = site.task("profiles", "secret") + "&dag_id=shop"
    assert site.ask(twice, "ann")[0] == 404  # the DAG whose right is asked for is the one that is shown
    assert site.ask(site.task("profiles", "shop") + "&dag_id=secret", "ann")[0] == 403


def test_the_menu_lists_what_one_may_see(site: page.Site) -> None:
    assert "secret" in text_of(site.ask("/altcraft/", "root")[1])
    seen = text_of(site.ask("/altcraft/", "ann")[1])
    assert "secret" not in seen
    assert seen.count("mapped [1: 2 profiles]") == 2  # of two runs
    assert "16,700" in seen


def test_nothing_else_is_served(site: page.Site) -> None:
    for path in ("/altcraft/openapi.json", "/altcraft/docs", "/altcraft/redoc", "/altcraft/static/style.css"):
        assert site.ask(path, "root")[0] == 404
    for path in ("/altcraft/task", "/altcraft/dag", "/altcraft/dag?dag_id="):
        assert site.ask(path, "root")[0] == 422
        assert site.ask(path, None)[0] == 401
    for path in ("/altcraft/dag?dag_id=~", "/altcraft/dag?dag_id=nothing"):
        assert "None of this DAG's last runs has a pull" in site.ask(path)[1].replace("&#39;", "'")
    assert site.ask(site.task("nothing"))[0] == 404


def test_no_page_can_run_or_load_anything(site: page.Site, paths: list[str]) -> None:
    for path in paths:
        _, html, headers = site.ask(path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        found = Markup()
        found.feed(html)
        assert found.tags <= ALLOWED
        assert not [name for name, _ in found.attributes if name.startswith("on") or name in {"style", "src"}]
        assert all(value.startswith("task?") for name, value in found.attributes if name == "href")


def test_nothing_that_comes_from_outside_becomes_markup_or_tells_of_a_profile(
    site: page.Site, paths: list[str]
) -> None:
    hostile = site.ask(site.task("hostile"))[1]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in hostile
    assert "&lt;u&gt;x&lt;/u&gt;" in hostile
    assert re.search(r"<bdi>\u202eW{79}</bdi>", hostile)  # which would turn the digits of its id around
    assert "&lt;i&gt;odd&lt;/i&gt;" in hostile
    for path in paths:
        html = site.ask(path)[1]
        for never in ("<script", "<i>", "<u>", "<b>eve", "<img", "user7", "eve@", page.TOKEN, "is odd"):
            assert never not in html, (path, never)


def test_what_a_pull_brought(site: page.Site) -> None:
    seen = text_of(site.ask(site.task("database"))[1])
    assert "Events from 2026-01-01 00:00 to 2026-01-15 00:00 (Europe/Moscow)" in seen
    assert "16,700 rows" in seen
    assert re.search(r"E-mail sent 2,946 delivered 2,532 85.9 % opened 2,903", seen)
    assert "2026-01-01 to 2026-01-14 at most 1,467 a day" in seen
    assert "No event came after the pull before." in seen
    assert "/2026-01-14/all.parquet" in seen
    seen = text_of(site.ask(site.task("profiles"))[1])
    assert "20 profiles asked" in seen
    assert "1 profile failed" in seen
    assert "_failed.jsonl" in seen
    assert "There was no event in this time." in text_of(site.ask(site.task("empty"))[1])
    assert "this task returned no counts of events" in text_of(site.ask(site.task("other"))[1])
    assert "mapped [0: 2 profiles]" in text_of(site.ask(site.task("mapped"))[1])


def test_a_wait(site: page.Site) -> None:
    seen = text_of(site.ask(site.task("wait"))[1])
    assert (
        "Waits for 3 of 5 profiles to do &#39;never_done&#39; of campaign 5, since 2025-12-31 21:00+00:00, until"
        in seen
    )
    assert re.search(r"waiting the wait \d polls of this try not yet", seen)
    assert "3 of 5 profiles are required. met 0 missing 5" in seen
    assert "u***@example.com" in seen
    listed = text_of(site.ask("/altcraft/")[1]).replace("&#39;", "'")
    waits = r"[45] h \d+ min shop wait 3 of 5 profiles: 'never_done' of campaign 5 0 of 3 not yet"
    assert len(re.findall(waits, listed)) == 2  # one of each run


def test_a_pull_under_way(site: page.Site) -> None:
    """What a pull of two profiles has kept after ten seconds, the second being asked for fifteen."""
    seen = text_of(site.ask(site.task("pull", "slow"))[1])
    assert re.search(r"1 of 2 profiles done 60 events 1\d\.\d s taken 1\d\.\d s left, about", seen)
    assert "not ended well" not in seen
    assert re.search(r"UTC 1\d\.\d s slow pull 1 of 2 profiles 60 Last pulls", text_of(site.ask("/altcraft/")[1]))


def test_connections_and_their_last_tests(site: page.Site, platform: str, driver: Chrome) -> None:
    """For those who may see connections; who may test them in Airflow may do it here."""
    assert "Connections" not in text_of(site.ask("/altcraft/", "ann")[1])
    assert "Airflow's database has no connection" in unescape(site.ask("/altcraft/", "root")[1])
    for conn_id, host in (("shop", platform), ("eve", "http://ann:pass-word@127.0.0.1:9/<b>")):
        site.add_connection(conn_id, host)
    seen = text_of(site.ask("/altcraft/", "root")[1])
    assert f"shop {platform} 1 none is known" in seen
    assert "pass-word" not in seen

    driver.add_cookie({"name": "_token", "value": site.tokens["root"]})
    driver.get(f"{site.url}/altcraft/")
    row = "//tr[.//button][td[normalize-space()='shop']]"
    screen = Screen(driver)
    screen.click(f"{row}//button")
    screen.wait_for_text(row, "passed")
    assert driver.current_url == f"{site.url}/altcraft/"
    driver.add_cookie({"name": "_token", "value": site.tokens["ann"]})
    passed = r"passed , \d{4}-\d\d-\d\d \d\d:\d\d UTC, by root: The platform answers; the token sees 3 databases"
    assert re.search(passed, text_of(site.ask("/altcraft/", "root")[1]))

    _, html, _ = site.ask("/altcraft/test?conn_id=eve", "root", post=b"")
    assert "failed" in text_of(html)
    assert "<b>eve" not in html
    assert "pass-word" not in html
    site.command("altcraft", "test", "shop")
    assert re.search(passed.replace("root", getuser()), text_of(site.ask("/altcraft/", "root")[1]))
    for user, conn_id, headers, refused in (
        (None, "shop", {}, 401),
        ("ann", "shop", {}, 403),
        ("root", "shop", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("root", "nothing", {}, 404),
    ):
        assert site.ask(f"/altcraft/test?conn_id={conn_id}", user, post=b"", headers=headers)[0] == refused
    assert site.ask("/altcraft/test?conn_id=shop", "root")[0] == 405
    assert page.TOKEN not in site.ask("/api/v2/eventLogs?event=altcraft_connection_test", "root")[1]


def test_links_of_a_task_instance(site: page.Site) -> None:
    """Those that a task's end gave; to the API, one without an address is none."""
    run, docs = quote(site.runs["shop"][-1], safe=""), "https://docs.example.com"
    for task, links in (
        ("wait", {"Campaign": "https://example.com/campaigns/5", "Profile": None, "Docs": f"{docs}/waiting.html"}),
        ("database", {"Output": None, "Docs": f"{docs}/database.html"}),
    ):
        found = json.loads(site.ask(f"/api/v2/dags/shop/dagRuns/{run}/taskInstances/{task}/links")[1])["extra_links"]
        assert {name: link or None for name, link in found.items()} == links


def test_ten_thousand_campaigns(site: page.Site) -> None:
    _, html, _ = site.ask(site.task("campaigns"))
    assert len(html) < 100_000
    assert html.count('<td class="name">') == 50
    assert "Other campaigns : 9,950 events" in text_of(html).replace("campaigns:", "campaigns :")


def test_airflow_itself_takes_the_plugin(site: page.Site) -> None:
    found = json.loads(site.ask("/api/v2/plugins", "root")[1])["plugins"]
    (plugin,) = [each for each in found if each["name"] == "altcraft"]
    assert {view["destination"] for view in plugin["external_views"]} == {"nav", "dag", "task_instance"}
    assert json.loads(site.ask("/api/v2/plugins/importErrors", "root")[1])["import_errors"] == []


def test_the_tab_opens_in_airflow(site: page.Site, driver: Chrome) -> None:
    """Of a task instance, of a DAG, and from the menu; dark where the browser is."""
    screen = Screen(driver)
    run = quote(site.runs["shop"][-1], safe="")

    def shown(path: str, tab: str, words: str) -> str:
        driver.get(site.url + path)
        screen.click(tab)
        screen.wait_for_text("//body", words, frame="//iframe[@title='Altcraft']")
        colour: str = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        driver.switch_to.default_content()
        return colour

    tab = "//a[normalize-space()='Altcraft']"
    assert shown(f"/dags/shop/runs/{run}/tasks/hostile", tab, "<script>alert(1)</script>") == "rgb(255, 255, 255)"
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert shown(f"/dags/shop/runs/{run}/tasks/mapped/mapped/1", tab, "mapped [1: 2 profiles]") == "rgb(17, 26, 34)"
    shown("/dags/shop", tab, "Rows, run by run")
    shown("/plugin/altcraft", "//iframe", "Last pulls")
    refused = [entry["message"] for entry in driver.get_log("browser") if "Content Security" in entry["message"]]
    assert refused == []


def test_no_page_is_wider_than_a_narrow_screen(site: page.Site, paths: list[str], driver: Chrome) -> None:
    """Wide tables are moved in their own boxes, whatever is in them."""
    narrow = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    wide = {}
    for path in paths:
        driver.get(site.url + path)
        driver.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
        if (width := driver.execute_script("return document.documentElement.scrollWidth")) > 360:
            wide[path] = width
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide == {}
