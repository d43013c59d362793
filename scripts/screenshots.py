"""`make screenshots`: takes the pictures of docs/page.md from a real Airflow, in a real Chromium.

The events are those of an imagined shop, the same each time; what differs from one time to the next are the clock's.
"""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from airflow_provider.altcraft.testing import Emulator
from tests.system import page
from tests.system.browser import chromium, environment_of

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAYS = 14
CAMPAIGNS = ("New year's sale", "Back in stock", "Abandoned basket", "Loyalty points", "Winter boots", "Survey")
# Channel, then of what was sent how much came how far.
WAYS = (
    ("email", "", 0.7, (("deliv", 0.97), ("open", 0.38), ("click", 0.2))),
    ("push", "_push", 0.2, (("deliv", 0.9), ("open", 0.25), ("click", 0.3))),
    ("sms", "_sms", 0.1, (("deliv", 0.98), ("click", 0.12))),
)
SHOP = """
import datetime as dt
import os
from airflow.providers.common.compat.sdk import DAG
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor

with DAG("shop", schedule=None, start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), tags=["altcraft"]):
    AltcraftDatabaseHistoryOperator(
        task_id="export_history",
        target=os.environ["AIRFLOW_HOME"] + "/lake/{date}.parquet",
        date_from="{{ ds }}",
        date_to="{{ ds }}",
        lookback=dt.timedelta(days=13),
        timezone="Europe/Moscow",
    )
    AltcraftActionSensor(
        task_id="wait_for_confirmations",
        profiles=[f"buyer{number}@example.com" for number in range(12)],
        quorum=8,
        actions="confirm",
        since="2026-01-01",
        timezone="Europe/Moscow",
        poke_interval=0.2,
        timeout=0.5,
        soft_fail=True,
    )
with DAG("archive", schedule=None, start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), tags=["altcraft"]):
    AltcraftHistoryOperator(
        task_id="export_archive",
        list_id=2,
        profiles=[f"reader{number}@example.com" for number in range(50)],
        target=os.environ["AIRFLOW_HOME"] + "/lake/archive.parquet",
        date_from="2025-01-01",
        date_to="2026-01-31",
    )
"""


def main() -> int:
    """Take all pictures."""
    with tempfile.TemporaryDirectory(prefix="altcraft-screenshots-") as name, Emulator(token=page.TOKEN) as api:
        folder = Path(name)
        fill(api)
        fill_archive(api)
        for each in ("database", "airflow", "dags", "profile"):
            (folder / each).mkdir()
        (folder / "dags" / "shop.py").write_text(SHOP)
        migrate = [sys.executable, "-W", "ignore", "-m", "airflow", "db", "migrate"]
        subprocess.run(migrate, env=environment_of(folder / "database", 0), check=True, capture_output=True)
        runs = {"shop": [f"2026-01-{day}" for day in range(10, 15)], "archive": ["2026-02-01"]}
        made = page.site(folder / "airflow", folder / "database", api, dags=folder / "dags", runs=runs)
        with made as site, chromium(folder / "profile") as driver:
            take(site, driver, api.url)
    return 0


def take(site: page.Site, driver: Chrome, platform: str) -> None:
    """Open each page and keep what is seen."""
    driver.get(f"{site.url}/altcraft/")
    driver.add_cookie({"name": "_token", "value": site.tokens["root"]})
    run = quote(site.runs["shop"][-1], safe="")
    tab = f"/dags/shop/runs/{run}/tasks/export_history/plugin/altcraft-task_instance"
    PICTURES.mkdir(exist_ok=True)
    keep(driver, "page-task-light", site.url + tab, 1100, 660)
    keep(driver, "page-task-dark", site.url + site.task("export_history"), 1000, 1000, dark=True)
    keep(driver, "page-dag-light", f"{site.url}/altcraft/dag?dag_id=shop", 1000, 440)
    for conn_id, host in (("altcraft_default", platform), ("altcraft_loyalty", "https://altcraft.example.com")):
        site.add_connection(conn_id, host)
    site.ask("/altcraft/test?conn_id=altcraft_default", "root", post=b"")
    keep(driver, "page-menu-light", f"{site.url}/altcraft/", 1000, 760)
    keep(driver, "page-wait-dark", site.url + site.task("wait_for_confirmations"), 1000, 560, dark=True)
    keep(driver, "page-task-narrow", site.url + site.task("export_history"), 360, 1200)
    keep(driver, "page-task-huge", site.url + site.task("export_archive", "archive"), 1000, 1000)


def keep(driver: Chrome, name: str, url: str, width: int, height: int, *, dark: bool = False) -> None:
    """Keep a picture of a page."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)  # a window is not narrower than 500
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    driver.get(url)
    if "/plugin/" in url:
        wait = WebDriverWait(driver, 60, 0.2)
        driver.switch_to.frame(wait.until(lambda _: driver.find_elements(By.TAG_NAME, "iframe"))[0])
        wait.until(lambda _: driver.find_elements(By.TAG_NAME, "h1"))
        driver.switch_to.default_content()
        time.sleep(2)  # until what Airflow shows around it stands still
    path = PICTURES / f"{name}.png"
    driver.save_screenshot(str(path))
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def fill(api: Emulator) -> None:
    """Give the platform what the shop's people did."""
    choose = random.Random(7)
    buyers = [api.add_profile(email=f"buyer{number}@example.com") for number in range(200)]
    for day in range(DAYS):
        for buyer in buyers:
            if choose.random() < (0.25 if day % 7 in {2, 3} else 0.6):
                send(api, buyer, START + dt.timedelta(days=day, hours=9, seconds=choose.randrange(20_000)), choose)
        for buyer in choose.sample(buyers, 6):
            at = START + dt.timedelta(days=day, hours=12)
            api.add_event(buyer, "form_post", at=at, message_id=None, campaign_id=None)
    for buyer in buyers[:5]:
        api.add_event(buyer, "confirm", at=START + dt.timedelta(days=3), channel="email")


def fill_archive(api: Emulator) -> None:
    """Add a database with ten thousand campaigns in thirteen months."""
    api.add_database(2, name="Archive")
    choose = random.Random(7)
    readers = [api.add_profile(list_id=2, email=f"reader{number}@example.com") for number in range(50)]
    for number in range(10_000):
        at = START - dt.timedelta(days=365) + dt.timedelta(minutes=55 * number)
        name = f"Letter of {at:%d %B %Y}, to group {number % 26 + 1}"
        fields: dict[str, Any] = {"campaign_id": 1000 + number, "campaign_name": name}
        for reader in choose.sample(readers, 1 + int(choose.expovariate(0.7))):
            for action, share in (("send", 1), ("deliv", 0.97), ("open", 0.4), ("click", 0.3)):
                if choose.random() > share:
                    break
                api.add_event(reader, action, list_id=2, at=at, channel="email", **fields)
                at += dt.timedelta(minutes=1)


def send(api: Emulator, buyer: Any, at: dt.datetime, choose: random.Random) -> None:
    """Send a message, and let what follows happen or not."""
    weights = [way[2] for way in WAYS]
    ((channel, suffix, _, steps),) = choose.choices(WAYS, weights)
    campaign = min(int(choose.expovariate(0.7)), len(CAMPAIGNS) - 1)
    fields: dict[str, Any] = {
        "campaign_id": 300 + campaign,
        "campaign_name": CAMPAIGNS[campaign],
        "channel": channel,
        "message_id": campaign + 1,
    }
    api.add_event(buyer, f"send{suffix}", at=at, **fields)
    for action, share in steps:
        at += dt.timedelta(minutes=choose.randrange(1, 300))
        if choose.random() > share:
            break
        api.add_event(buyer, f"{action}{suffix}", at=at, **fields)
    if channel == "email" and choose.random() < 0.01:
        api.add_event(buyer, "unsubscribe_email", at=at, **fields)


if __name__ == "__main__":
    sys.exit(main())
