"""The pages of docs/how-to/: each DAG runs as it is printed; what is replaced are names of files and of time-outs."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest
import trustme

from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.testing.dag_run import DagRun, DagRunner
from tests.integration.databases import Database
from tests.unit.client.wire import Proxy

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
UTC = dt.UTC


def block(page: str, language: str = "python") -> str:
    """The page's one block of the language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)
    return found


@pytest.fixture
def run(altcraft_dag_run: DagRunner, tmp_path: Path) -> Any:
    """Run a page's DAG to its end; texts are replaced only where they are there."""

    def ended(page: str, replaced: dict[str, str] | None = None, **how: Any) -> DagRun:
        code = block(page)
        for old, new in (replaced or {}).items():
            assert old in code
            code = code.replace(old, new)
        (tmp_path / f"{page}.py").write_text(code)
        found = altcraft_dag_run(tmp_path / f"{page}.py", **how)
        assert found.state == "success", found.log
        return found

    return ended


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW_VAR_LAKE", f"file://{tmp_path}/lake")
    return tmp_path / "lake"


def test_the_list_names_each_page() -> None:
    listed = set(re.findall(r"\]\(([a-z-]+\.md)\)", (PAGES / "index.md").read_text()))
    assert listed == {page.name for page in PAGES.glob("*.md")} - {"index.md"}


def test_nightly_export(run: Any, lake: Path, altcraft_api: Emulator) -> None:
    ann = altcraft_api.add_profile(email="ann@example.com")
    for day in (3, 4, 5):
        altcraft_api.add_event(ann, "open", at=dt.datetime(2026, 1, day, 12, tzinfo=UTC))
    first = run("nightly-export", logical_date="2026-01-05T00:00:00+00:00")
    assert first.results["pull"]["lateness"] is None
    altcraft_api.add_event(ann, "click", at=dt.datetime(2026, 1, 4, 20, tzinfo=UTC))  # late
    run("nightly-export", logical_date="2026-01-06T00:00:00+00:00")
    found = {file.stem: pq.read_table(file)["action"].to_pylist() for file in (lake / "history").iterdir()}
    assert found.pop("2026-01-02") == []
    assert found == {
        "2026-01-03": ["open"], "2026-01-04": ["open", "click"], "2026-01-05": ["open"], "2026-01-06": []
    }  # fmt: skip


def test_days_of_a_time_zone(run: Any, lake: Path, altcraft_api: Emulator) -> None:
    ann = altcraft_api.add_profile(email="ann@example.com")
    for hour, number in ((20, 1), (21, 2)):  # before and after midnight in Moscow
        altcraft_api.add_event(ann, "open", at=dt.datetime(2026, 1, 4, hour, 30, tzinfo=UTC), message_id=number)
    run("moscow-days", logical_date="2026-01-05T21:30:00+00:00")
    (file,) = (lake / "history").iterdir()
    assert file.name == "2026-01-05.jsonl"
    assert [json.loads(line)["message_id"] for line in file.read_text().splitlines()] == [2]


def test_remind(run: Any, altcraft_api: Emulator) -> None:
    for name in ("ann", "bob"):
        altcraft_api.add_profile(email=f"{name}@example.com")
    altcraft_api.add_event("ann@example.com", "confirm")
    found = run("remind", {"timeout=3 * 24 * 3600": "timeout=2", "poke_interval=300": "poke_interval=1"})
    assert found.tasks["confirmed"] == "skipped"
    assert found.results["missing"] == ["bob@example.com"]
    assert [found.results[task] for task in found.results if task.startswith("remind")] == ["bob@example.com"]


def test_nobody_is_reminded_where_all_confirmed(run: Any, altcraft_api: Emulator) -> None:
    for name in ("ann", "bob"):
        altcraft_api.add_profile(email=f"{name}@example.com")
        altcraft_api.add_event(f"{name}@example.com", "confirm")
    found = run("remind")
    assert (found.tasks["confirmed"], found.results["missing"]) == ("success", [])
    assert not any(task.startswith("remind[") for task in found.tasks)


def test_each_form(run: Any, altcraft_api: Emulator) -> None:
    for name in ("ann", "bob"):
        altcraft_api.add_profile(email=f"{name}@example.com")
        altcraft_api.add_event(f"{name}@example.com", "form_post")
    found = run("each-form")
    assert sorted(found.results[f"welcome[{number}]"] for number in range(2)) == ["ann@example.com", "bob@example.com"]


def test_a_list_from_excel(run: Any, altcraft_api: Emulator, tmp_path: Path) -> None:
    altcraft_api.add_profile(email="ann@example.com", phone="+79001234567")
    altcraft_api.add_event("ann@example.com", "click_sms")
    book = openpyxl.Workbook()
    book.active.title = "Клиенты"
    for row in (["Имя", "Телефон"], ["Анна", "8 900 123-45-67"], ["Без телефона", None]):
        book.active.append(row)
    book.save(tmp_path / "clients.xlsx")
    assert run("excel-list", {"/data/": f"{tmp_path}/"}).results["pull"]["profiles"] == 1
    assert altcraft_api.requests[-1].body["phone"] == "+79001234567"
    assert "click_sms" in (tmp_path / "clients-history.csv").read_text()


def test_into_postgres_and_a_funnel(
    run: Any, altcraft_api: Emulator, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, place = f"history_{uuid.uuid4().hex[:12]}", postgres.arguments
    altcraft_api.seed(profiles=30, events_per_profile=40)
    (uri,) = re.findall(r"'(postgres://.*)'", block("postgres-funnel", "bash"))
    uri = uri.replace("me:secret@127.0.0.1:5432/warehouse", f"postgres@127.0.0.1:{place['port']}/{place['dbname']}")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", uri)
    run("postgres-funnel", {"warehouse/history": f"warehouse/{table}"})
    funnel = postgres.execute(block("postgres-funnel", "sql").replace("FROM history", f"FROM {table}"))
    sent: dict[int, set[str]] = {}
    for event in altcraft_api.events():
        if event["action"] == "send" and event["datetime"] < "2026-02":
            sent.setdefault(event["campaign_id"], set()).add(event["xxh"])
    assert sent
    assert {row[0]: row[2] for row in funnel if row[2]} == {campaign: len(people) for campaign, people in sent.items()}
    assert [row[2] for row in funnel] == sorted((row[2] for row in funnel), reverse=True)


def test_behind_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    pem, trusted = tmp_path / "server.pem", tmp_path / "company.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    authority.cert_pem.write_to_path(str(trusted))
    with Emulator(tls=(str(pem), str(pem))) as api:
        port = int(api.url.rpartition(":")[2])
        proxy = Proxy(port)
        try:
            connection = (
                block("proxy", "json")
                .replace("https://example.com", f"https://localhost:{port}")
                .replace("TOKEN", api.token)
                .replace("proxy.example.com:3128", f"127.0.0.1:{proxy.port}")
                .replace("/etc/ssl/certs/company.pem", str(trusted))
            )
            monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT", connection)
            well, said = AltcraftHook().test_connection()
        finally:
            proxy.stop()
    assert well, said
    assert proxy.asked
    assert Counter(each.split()[0] for each in proxy.asked) == {b"CONNECT": len(proxy.asked)}
