"""A Sphinx extension: every text that an error of the package begins or is made of, read from the code itself.

``docs/troubleshooting.md`` has a line ``<!-- error texts -->``, which the tables of ``tables`` take the place of.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PACKAGE = Path(__file__).parents[2] / "airflow_provider" / "altcraft"
MARK = "<!-- error texts -->"

AREAS = {
    "client": "Requests to the platform",
    "hooks": "The connection",
    "operators": "Operators",
    "sensors": "Sensors",
    "triggers": "Triggers",
    "waiting": "Waits",
    "extract/sources": "Sources of profiles",
    "extract": "Pulls",
    "targets/object_storage": "Files and objects",
    "targets/sql": "Tables in databases",
    "targets/dlt": "dlt",
    "targets/delta": "Delta Lake",
    "targets": "Targets",
    "cli": "The command line",
    "testing": "The emulator and the conformance suite",
    "": "Arguments",
}
"""Folders of the package in the order of the page; a module counts to the longest that it is in."""


class ErrorText(NamedTuple):
    """One place that raises an error.

    Attributes:
        area: the heading it stands below.
        kind: the error's class.
        text: what it says, with ``…`` for what is known only when it is raised.
    """

    area: str
    kind: str
    text: str


def error_texts() -> list[ErrorText]:
    """All of them, in the order of ``AREAS`` and then of the text."""
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for kind, text in _raised(ast.parse(path.read_text(encoding="utf-8"))):
            found.add(ErrorText(_area(path), kind, text))
    headings = list(AREAS.values())
    return sorted(found, key=lambda each: (headings.index(each.area), each.text.casefold()))


def tables() -> str:
    """The same as Markdown."""
    lines: list[str] = []
    heading = ""
    for area, kind, text in error_texts():
        if area != heading:
            heading = area
            lines += ["", f"### {area}", "", "| error | text |", "| --- | --- |"]
        shown = text.replace("|", "\\|").replace("`", "'").replace("\n", " ")
        lines.append(f"| `{kind}` | `{shown}` |")
    return "\n".join(lines)


def _area(path: Path) -> str:
    folder = path.parent.relative_to(PACKAGE).as_posix()
    names = [name for name in AREAS if not name or folder == name or folder.startswith(f"{name}/")]
    return AREAS[max(names, key=len)]


def _raised(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not (
            isinstance(node, ast.Call) and node.args and (kind := _name(node.func)).endswith(("Error", "Exception"))
        ):
            continue
        text = " ".join(_text(node.args[0]).split())
        if any(map(str.isalpha, text)):
            yield kind, text


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _text(node: ast.expr) -> str:
    """The literal parts of an expression that gives a text."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)} / {_text(node.orelse)}"
    return "…"


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx fill the page in."""

    def fill(app: Sphinx, name: str, source: list[str]) -> None:
        if name == "troubleshooting":
            source[0] = source[0].replace(MARK, tables())

    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
