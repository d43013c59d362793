"""Functions and modules stay short enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider"
MODULES = sorted(PACKAGE.rglob("*.py"))


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{path.relative_to(PACKAGE)}: {node.name}", node.end_lineno - node.lineno + 1


def test_no_module_has_over_400_lines() -> None:
    folders = (PACKAGE, *(ROOT / name for name in ("tests", "scripts", "benchmarks", "example_dags", "docs")))
    modules = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules}
    assert len(lines) > 300
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_no_function_has_over_60_lines() -> None:
    lines = [function for path in MODULES for function in _functions(path)]
    assert len(lines) > 1000
    assert [(name, count) for name, count in lines if count > 60] == []
