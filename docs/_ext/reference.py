"""A Sphinx extension: the reference of a module, made of its public names and their docstrings.

A page has a line ``<!-- reference: client targets.dlt -->`` for the modules of the package that it documents.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PACKAGE = "airflow_provider.altcraft"
MARK = re.compile(r"<!-- reference: ([\w. ]+) -->")


def public_names(module: Any) -> list[str]:
    """What users import from a module: its ``__all__``, or else what is defined there and is not private."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return sorted({name for name in (*own, *constants(module)) if not name.startswith("_")})


def constants(module: Any) -> Iterator[str]:
    """The names that a module assigns to, whose values do not know their module."""
    for node in ast.parse(inspect.getsource(module)).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def arguments_of(operator: Any) -> str:
    """The signature of an operator, without those arguments that it hands on to Airflow."""
    parameters = list(inspect.signature(operator.__init__).parameters.values())[1:]
    return str(inspect.Signature([each.replace(annotation=inspect.Parameter.empty) for each in parameters]))


def directives(name: str) -> str:
    """The directives of autodoc for one module of the package, as Markdown."""
    module: Any = importlib.import_module(f"{PACKAGE}.{name}")
    lines = [f"## `{module.__name__}`", "", "```{eval-rst}", f".. py:module:: {module.__name__}", ""]
    lines += [*inspect.cleandoc(module.__doc__ or "").splitlines(), ""]
    for each in public_names(module):
        value = getattr(module, each)
        if inspect.ismodule(value):
            continue
        if isinstance(value, type):
            kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        else:
            kind = "autofunction" if inspect.isroutine(value) else "autodata" if each in constants(module) else "data"
        # What an operator inherits and overrides is Airflow's to document, which also makes it by a `__new__`.
        operator = hasattr(value, "template_fields_renderers")
        lines.append(f".. {kind}:: {each}{arguments_of(value) if operator else ''}")
        if isinstance(value, type) and not operator:
            lines.append("   :members:")
        elif kind == "autodata":
            lines.append("   :no-value:")
        lines.append("")
    return "\n".join([*lines, "```", ""])


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx fill the pages in."""

    def fill(app: Sphinx, page: str, source: list[str]) -> None:
        source[0] = MARK.sub(lambda match: "\n".join(map(directives, match[1].split())), source[0])

    # Before autodoc, which imports modules as if for type checking, and Airflow cannot be imported so.
    for page in Path(app.srcdir).rglob("*.md"):
        for match in MARK.finditer(page.read_text(encoding="utf-8")):
            for name in match[1].split():
                importlib.import_module(f"{PACKAGE}.{name}")
    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
