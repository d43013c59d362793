"""Steps in a real Chromium, on a page whose script replaces its elements all the time, as Airflow's pages do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.browser import Screen, chromium

_RESTLESS = """<!doctype html>
<body><script>
let pressed = 0, typed = "", row = 0;
function draw() {
  document.body.innerHTML = `<iframe srcdoc="<p>frame ${row}</p>"></iframe><p id="row">row ${row}</p>
    <input id="field" value="${typed}"><button>pressed ${pressed}</button>`;
  document.querySelector("button").onmousedown = () => { pressed += 1; };
  document.querySelector("input").oninput = event => { typed = event.target.value; };
}
setInterval(() => { if (document.activeElement.id !== "field") { row += 1; draw(); } }, 100);
draw();
</script></body>
"""


def test_elements_that_are_replaced_all_the_time(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(_RESTLESS)
    with chromium(tmp_path / "profile") as driver:
        screen = Screen(driver)
        driver.get((tmp_path / "page.html").as_uri())
        for _ in range(5):
            screen.click("//button")
            screen.wait_for_text("//p", "row")
            screen.wait_for_text("//p", "frame", frame="//iframe")
            driver.switch_to.default_content()
        assert int(screen.text("//button").removeprefix("pressed ")) > 0
        screen.write("//input", "what is written")
        assert screen.value("//input") == "what is written"


def test_an_element_that_never_comes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.html").write_text("<p>what the page shows instead</p>")
    with chromium(tmp_path / "profile") as driver:
        driver.get((tmp_path / "page.html").as_uri())
        monkeypatch.setattr("tests.system.browser.STEP_SECONDS", 1)
        with pytest.raises(pytest.fail.Exception, match=r"(?s)//button is not shown on .*what the page shows instead"):
            Screen(driver).click("//button")
