"""The workflows run what is there, with actions that nobody can change under them, and with few rights."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return found


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def commands(workflow: dict[str, Any]) -> list[str]:
    return [line for step in steps(workflow) for line in step.get("run", "").splitlines()]


def test_each_is_there() -> None:
    assert [file.name for file in FILES] == ["ci.yml", "docs.yml", "links.yml", "release.yml"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_it_runs_is_there(file: Path) -> None:
    lines = commands(load(file.name))
    made = [line.split()[1] for line in lines if line.startswith("make ")]
    scripts = [line for line in lines if line.startswith(".")]
    assert made or scripts
    assert set(made) <= TARGETS
    assert all((ROOT / script).stat().st_mode & 0o100 for script in scripts)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned_and_rights_are_few(file: Path) -> None:
    workflow = load(file.name)
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    # The publisher's image is built from the name of a release, so no commit is named of it.
    assert all(re.fullmatch(r"[\w./-]+@([0-9a-f]{40}|release/v\d+)", action) for action in used)
    assert workflow["permissions"] == {"contents": "read"}
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())


def test_the_site_is_published_from_where_it_is_built() -> None:
    (folder,) = [step["with"]["path"] for step in steps(load("docs.yml")) if "path" in step.get("with", {})]
    assert re.search(rf"sphinx-build .* docs {re.escape(folder)}$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_nothing_is_published_unless_it_is_switched_on() -> None:
    workflow = load("release.yml")
    publish = workflow["jobs"].pop("publish")
    assert (publish["if"], publish["needs"], publish["environment"]) == ("vars.PUBLISH == 'true'", "build", "pypi")
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["steps"][-1]["with"] == {"attestations": True}  # and no token
    assert not any("permissions" in job for job in workflow["jobs"].values())
    assert 'make release-check TAG="$GITHUB_REF_NAME"' in commands(workflow)


@pytest.mark.parametrize(
    ("tag", "heading", "refused"),
    [
        ("v0.1.0", "0.1.0 — 2026-12-01", None),
        ("v0.1.0", "0.1.0 — unreleased", r"expected a section '## 0\.1\.0 — YYYY-MM-DD', got '0\.1\.0 — unreleased'"),
        ("v0.1.0", "0.1.0", "YYYY-MM-DD', got '0.1.0'"),
        ("v0.1.0", "0.1.0 — 2026-02-30", "got '0.1.0 — 2026-02-30'"),
        ("v0.1.0", "0.2.0 — 2026-12-01", "got 'none'"),
        ("v0.2.0", "0.2.0 — 2026-12-01", "tag: expected v0.1.0, got v0.2.0"),
    ],
)
def test_a_tag_is_refused_whose_changes_have_no_day(
    tmp_path: Path, tag: str, heading: str, refused: str | None
) -> None:
    check_tag = runpy.run_path(str(ROOT / "scripts" / "release_check.py"))["check_tag"]
    package = tmp_path / "airflow_provider" / "altcraft"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changes\n\n## {heading}\n\n- All.\n\n## 0.0.9 — 2026-01-01\n")
    with nullcontext() if refused is None else pytest.raises(SystemExit, match=refused):
        check_tag(tag, tmp_path)
