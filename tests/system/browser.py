"""Airflow's pages, served from a temporary folder, and a real Chromium that opens them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import airflow
import psutil
import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver import Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

_Result = TypeVar("_Result")
STEP_SECONDS = 30

ON_AIRFLOW_3 = airflow.__version__.startswith("3.")
_SERVER, _HEALTH = ("api-server", "/api/v2/monitor/health") if ON_AIRFLOW_3 else ("webserver", "/health")
# Its driver is its Debian package's other half, so that the two fit and nothing is downloaded.
_CHROMIUM, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # it does not start as root else
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--lang=en",
    "--window-size=1280,1600",
)


def environment_of(home: Path, port: int) -> dict[str, str]:
    """The environment of an Airflow that lives in ``home``, lets everybody do everything and tests connections."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return own | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__WEBSERVER__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
        "NO_PROXY": "127.0.0.1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "no_proxy": "127.0.0.1",
    }


@contextlib.contextmanager
def served(home: Path, **more: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Address and environment, with what more it is given, of an Airflow that shows pages and lives in ``home``."""
    (home / "webserver_config.py").write_text('AUTH_ROLE_PUBLIC = "Admin"\n')  # for Airflow 2.11
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = environment_of(home, port) | more
    log = home / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "airflow", _SERVER, "--workers", "1"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        give_up = time.monotonic() + 180
        while True:
            with contextlib.suppress(OSError), direct.open(url + _HEALTH, timeout=5):
                break
            assert server.poll() is None, log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < give_up, log.read_text(errors="replace")[-3000:]
            time.sleep(0.5)
        yield url, environment
    finally:
        family = [psutil.Process(server.pid)] if server.poll() is None else []
        for each in [*family, *(child for parent in family for child in parent.children(recursive=True))]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        server.wait(20)


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A Chromium without a window whose profile is an empty folder."""
    if not (_CHROMIUM and _DRIVER):
        pytest.skip("chromium or its driver is not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM
    for option in (*_OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_DRIVER))
    try:
        driver.set_page_load_timeout(60)
        yield driver
    finally:
        driver.quit()


class Screen:
    """What a browser shows, whose elements a page's script, or a new page, may replace between any two commands.

    So an element is found and used within one step, which is done once the element can be seen and used; nobody keeps
    an element. A step that does not come about in ``STEP_SECONDS`` fails the test with what the page
    shows.

    Args:
        driver: the browser.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def use(self, path: str, use: Callable[[WebElement], _Result]) -> _Result:
        """Do something with the first element at an XPath that can be seen; returns what that returns."""

        def step(driver: webdriver.Chrome) -> tuple[_Result] | Literal[False]:
            shown = next((each for each in driver.find_elements(By.XPATH, path) if each.is_displayed()), None)
            return shown is not None and (use(shown),)

        return self._until(step, path)[0]

    def click(self, path: str) -> None:
        self.use(path, lambda element: element.click())

    def text(self, path: str) -> str:
        return self.use(path, lambda element: element.text)

    def value(self, path: str) -> str:
        return self.use(path, lambda field: field.get_attribute("value") or "")

    def write(self, path: str, text: str) -> None:
        """Replace what a field holds."""
        self.use(path, lambda field: field.send_keys(Keys.CONTROL, "a", Keys.NULL, text))

    def wait_for_text(self, path: str, words: str, frame: str | None = None) -> None:
        """Wait until the first element at an XPath shows these words.

        Args:
            path: the element.
            words: what it shows in the end.
            frame: the frame that has it. It is entered at each look, as Airflow may make another in its place, and
                left by ``driver.switch_to.default_content()``.
        """

        def step(driver: webdriver.Chrome) -> bool:
            if frame:
                driver.switch_to.default_content()
                driver.switch_to.frame(driver.find_element(By.XPATH, frame))
            return words in driver.find_element(By.XPATH, path).text

        self._until(step, f"{path} with {words!r}")

    def _until(self, step: Callable[[webdriver.Chrome], _Result | Literal[False]], what: str) -> _Result:
        last = ""

        def tried(driver: webdriver.Chrome) -> _Result | Literal[False]:
            nonlocal last
            try:
                return step(driver)
            except WebDriverException as error:  # Chromium has a dozen errors for what has just been replaced
                last = error.msg or ""
                return False

        try:
            return WebDriverWait(self.driver, STEP_SECONDS, 0.1).until(tried)
        except TimeoutException:
            self.driver.switch_to.default_content()
            driver: Any = self.driver  # some of its methods have no types
            log = [entry["message"] for entry in driver.get_log("browser")]
            text = driver.execute_script("return document.body.innerText")
            where = driver.current_url
            pytest.fail(f"{what} is not shown on {where}\n{text}\n{log}\n{last}", pytrace=False)
