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
from collections.abc import Iterator
from pathlib import Path

import airflow
import psutil
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

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
