"""What the errors of a package say, read from its code without running it.

A text that is built before it is raised is followed: a name to what the function assigns to it, a call to what the
function of the package returns, an attribute to what its class assigns to it. What is known only when the error is
raised stands as ``…``.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

UNKNOWN = "…"
MOST = 12
"""Texts that one expression may give; where more are possible, those of its parts stand as ``…``."""
DEEPEST = 6
"""Names and calls that are followed one behind another."""

NOT_FOLLOWED = {"counted", "database_message", "duration"}
"""Functions that put into words what is known only when they are called."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Said(NamedTuple):
    """What an expression may give.

    Attributes:
        text: the text itself, or what the error says.
        kind: the error's class; empty for a text.
    """

    text: str
    kind: str = ""


class Raised(NamedTuple):
    """One ``raise``, or an error or a note of one that is made to be raised elsewhere.

    Attributes:
        path: the module, relative to the package.
        node: the statement or expression.
        said: what it may say; nothing where the code does not tell.
    """

    path: Path
    node: ast.AST
    said: tuple[Said, ...]


Given = tuple[tuple[str, tuple[Said, ...]], ...]
"""What a call gives to the arguments of a function."""


class Scope(NamedTuple):
    """Where a name is looked up: a module, a class in it, and functions from the innermost outwards."""

    path: Path
    of_class: ast.ClassDef | None = None
    functions: tuple[Function, ...] = ()
    given: Given = ()


class Texts:
    """The texts of one package.

    Args:
        package: its folder.
        name: how it is imported.
    """

    def __init__(self, package: Path, name: str) -> None:
        self._package, self._name = package, name

    def raised(self) -> Iterator[Raised]:
        """All of them, but for a bare ``raise``, in the order of the files."""
        for path in sorted(self._package.rglob("*.py")):
            for node, scope in _scoped(path):
                found = self._errors(node, scope)
                if found or (isinstance(node, ast.Raise) and node.exc is not None):
                    yield Raised(path.relative_to(self._package), node, tuple(found))

    def _errors(self, node: ast.Raise | ast.Call | ast.Tuple, scope: Scope) -> list[Said]:
        match node:
            case ast.Raise(exc=ast.expr() as error):
                found = self._said(error, scope, 0)
                if not any(_speaks(each) for each in found) and scope.functions:
                    found = [said for given in self._calls(scope) for said in self._said(error, given, 0)]
            case ast.Call(func=ast.Attribute(attr="add_note"), args=[note]):
                found = [Said(_shown(each.text), "note") for each in self._said(note, scope, 0)]
            case ast.Call() if _is_error(_name(node.func)):
                found = self._said(node, scope, 0)
            case ast.Tuple(elts=[kind, text]) if _is_error(_name(kind)):  # of a table of errors and their texts
                found = [Said(_shown(each.text), _name(kind)) for each in self._said(text, scope, 0)]
            case _:
                found = []
        return [each for each in found if _speaks(each)]

    def _calls(self, scope: Scope) -> Iterator[Scope]:
        """The same function as each of its calls in the module gives it its arguments."""
        function = scope.functions[-1]
        for node, caller in _scoped(scope.path):
            if isinstance(node, ast.Call) and _name(node.func) == function.name and function not in caller.functions:
                yield scope._replace(given=self._given(function, node, caller, 0))

    def _said(self, node: ast.expr, scope: Scope, depth: int) -> list[Said]:
        """What an expression may give, each once."""
        if depth > DEEPEST:
            return [Said(UNKNOWN)]
        match node:
            case ast.Constant():
                return [Said(str(node.value))]
            case ast.JoinedStr():
                return self._joined(node.values, scope, depth)
            case ast.FormattedValue() if node.conversion == -1:
                return self._said(node.value, scope, depth)
            case ast.BinOp(op=ast.Add()) if _is_text(node.left) and _is_text(node.right):
                return self._joined([node.left, node.right], scope, depth)
            case ast.IfExp():
                return self._any_of([node.body, node.orelse], scope, depth)
            case ast.BoolOp(op=ast.Or()):
                return self._any_of(node.values, scope, depth)
            case ast.Dict():
                return self._any_of(node.values, scope, depth)
            case ast.Subscript(value=ast.Name(id=name)) if name.isupper():  # a module's table
                return self._named(name, scope, depth)
            case ast.NamedExpr() | ast.Await():
                return self._said(node.value, scope, depth)
            case ast.Name():
                return self._named(node.id, scope, depth)
            case ast.Attribute():
                return self._attribute(node, scope, depth)
            case ast.Call():
                return self._call(node, scope, depth)
        return [Said(UNKNOWN)]

    def _any_of(self, nodes: Sequence[ast.expr], scope: Scope, depth: int) -> list[Said]:
        some = [node for node in nodes if not (isinstance(node, ast.Constant) and node.value is None)]
        return list(dict.fromkeys(each for node in some for each in self._said(node, scope, depth))) or [Said(UNKNOWN)]

    def _joined(self, nodes: Sequence[ast.expr], scope: Scope, depth: int) -> list[Said]:
        parts: list[list[str]] = [[]]
        for node in nodes:
            texts = [each.text for each in self._said(node, scope, depth)]
            parts = (
                [[*before, text] for before, text in itertools.product(parts, texts)]
                if (len(parts) * len(texts) <= MOST)
                else [[*before, UNKNOWN] for before in parts]
            )
        return [Said(text) for text in dict.fromkeys("".join(part) for part in parts)]

    def _named(self, name: str, scope: Scope, depth: int) -> list[Said]:
        if name in dict(scope.given):
            return list(dict(scope.given)[name])
        for at, function in enumerate(scope.functions):
            if name in _arguments(function) or name in _caught(function):
                return [Said(UNKNOWN)]
            if values := _assigned(function, name):
                within = scope._replace(functions=scope.functions[at:])
                return self._any_of([each for each in values if _is_text(each)], within, depth + 1)
        if values := _assigned(_tree(scope.path), name):
            return self._any_of(values, Scope(scope.path), depth + 1)
        if (there := self._imported(scope.path, name)) and there[1]:
            return self._named(there[1], Scope(there[0]), depth + 1)
        return [Said(UNKNOWN)]

    def _attribute(self, node: ast.Attribute, scope: Scope, depth: int) -> list[Said]:
        if _name(node.value) in {"self", "cls"} and scope.of_class is not None:
            within = Scope(scope.path, scope.of_class)
            if functions := _methods(scope.path, node.attr):
                return self._returned(functions, within, (), depth)
            values = [each for each in _assigned(scope.of_class, node.attr) if _is_text(each)]
            said = self._any_of(values, within, depth + 1)
            return [each if _has_letters(each.text) else Said(UNKNOWN) for each in said]  # a number may change
        if (there := self._imported(scope.path, _name(node.value))) and not there[1]:
            return self._named(node.attr, Scope(there[0]), depth + 1)
        return [Said(UNKNOWN)]

    def _call(self, node: ast.Call, scope: Scope, depth: int) -> list[Said]:
        if kinds := self._kinds(node.func, scope):
            # The text is not always the first: OSError(errno, text).
            arguments = [self._said(each, scope, depth) for each in node.args]
            speaking = (said for said in arguments if any(_has_letters(each.text) for each in said))
            texts = next(speaking, [Said(UNKNOWN)])
            return [Said(_shown(text.text), kind) for kind in kinds for text in texts]
        if _name(node.func) == "str" and node.args:
            return self._said(node.args[0], scope, depth)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            return self._said(node.func.value, scope, depth)
        functions, within = self._functions(node.func, scope)
        if not functions or _name(node.func) in NOT_FOLLOWED:
            return [Said(UNKNOWN)]
        return self._returned(functions, within, self._given(functions[0], node, scope, depth), depth)

    def _given(self, function: Function, call: ast.Call, scope: Scope, depth: int) -> Given:
        names = [name for name in _arguments(function) if name not in {"self", "cls"}]
        values = [*zip(names, call.args, strict=False), *((each.arg, each.value) for each in call.keywords if each.arg)]
        return tuple((name, tuple(self._said(value, scope, depth + 1))) for name, value in values)

    def _returned(self, functions: list[Function], within: Scope, given: Given, depth: int) -> list[Said]:
        found: list[Said] = []
        for function in functions:
            returns = [each.value for each in ast.walk(function) if isinstance(each, ast.Return) and each.value]
            found += self._any_of(returns, within._replace(functions=(function,), given=given), depth + 1)
        return list(dict.fromkeys(found))

    def _kinds(self, node: ast.expr, scope: Scope) -> list[str]:
        """The classes of errors that the callee of a call may be."""
        if _is_error(name := _name(node)):
            return [name]
        if isinstance(node, ast.IfExp):
            return [*self._kinds(node.body, scope), *self._kinds(node.orelse, scope)]
        if isinstance(node, ast.Name) and scope.functions:
            values = _assigned(scope.functions[0], node.id)
            return [kind for value in values for kind in self._kinds(value, scope)] or [
                kind
                for each in scope.functions[0].args.args
                if each.arg == node.id
                for kind in _class_in(each.annotation)
            ]
        if isinstance(node, ast.Call):
            return [kind for function in self._functions(node.func, scope)[0] for kind in _class_in(function.returns)]
        return []

    def _functions(self, node: ast.expr, scope: Scope) -> tuple[list[Function], Scope]:
        """The function of the package that is called, of a method each that may be, and where it looks names up."""
        if isinstance(node, ast.Attribute) and _name(node.value) in {"self", "cls"}:
            return _methods(scope.path, node.attr), Scope(scope.path, scope.of_class)
        if isinstance(node, ast.Attribute):
            module = self._imported(scope.path, _name(node.value))
            there = (module[0], node.attr) if module and not module[1] else None
        else:
            name = _name(node)
            there = (scope.path, name) if _functions_in(scope.path, name) else self._imported(scope.path, name)
        return (_functions_in(*there), Scope(there[0])) if there else ([], scope)

    def _imported(self, path: Path, name: str) -> tuple[Path, str] | None:
        """The module of the package that a name is imported from, and how it is called there; a module has no name."""
        if name not in (imports := _imports(path)):
            return None
        module, imported = imports[name]
        folder = self._package.joinpath(*module.removeprefix(self._name).split("."))
        places = (
            (folder / f"{imported}.py", ""),
            (folder / imported / "__init__.py", ""),
            (folder.with_suffix(".py"), imported),
            (folder / "__init__.py", imported),
        )
        return next((place for place in places if module.startswith(self._name) and place[0].is_file()), None)


def _speaks(said: Said) -> bool:
    """Whether it is of an error and says more than the place of another one, as ``date_from: …`` does."""
    return bool(said.kind) and _has_letters(said.text) and not re.fullmatch(rf"(\S+: )+{UNKNOWN}", said.text)


def _shown(text: str) -> str:
    return re.sub(f"{UNKNOWN}+", UNKNOWN, " ".join(text.split()))


def _is_text(node: ast.expr) -> bool:
    """Whether it may be one: a number that is assigned or added to is another one when the error is raised."""
    return not isinstance(node, ast.Constant) or isinstance(node.value, str)


def _has_letters(text: str) -> bool:
    return any(map(str.isalpha, text))


def _class_in(annotation: ast.expr | None) -> list[str]:
    """The class of an error out of an annotation such as ``type[OSError]``."""
    match annotation:
        case ast.Subscript(value=ast.Name(id="type"), slice=kind) if _is_error(_name(kind)):
            return [_name(kind)]
    return []


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _imports(path: Path) -> dict[str, tuple[str, str]]:
    """Of each imported name the module that it is from, and how it is called there."""
    nodes = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.ImportFrom) and node.module]
    return {each.asname or each.name: (node.module or "", each.name) for node in nodes for each in node.names}


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _is_error(name: str) -> bool:
    return name.endswith(("Error", "Exception", "Timeout", "SystemExit")) and name[:1] in {name[:1].upper(), "_"}


@cache
def _scoped(path: Path) -> list[tuple[ast.Raise | ast.Call | ast.Tuple, Scope]]:
    """What may be an error, and where its names are looked up."""
    found: list[tuple[ast.Raise | ast.Call | ast.Tuple, Scope]] = []
    left: list[tuple[ast.AST, Scope]] = [(_tree(path), Scope(path))]
    while left:
        node, scope = left.pop()
        if isinstance(node, ast.Raise | ast.Call | ast.Tuple):
            found.append((node, scope))
        elif isinstance(node, ast.ClassDef):
            scope = Scope(path, node)
        elif isinstance(node, Function):
            scope = scope._replace(functions=(node, *scope.functions))
        left += [(child, scope) for child in ast.iter_child_nodes(node)]
    return found


def _functions_in(path: Path, name: str) -> list[Function]:
    return [each for each in _tree(path).body if isinstance(each, Function) and each.name == name]


def _methods(path: Path, name: str) -> list[Function]:
    """Those of a module's classes: one of a base may be another's in what inherits from it."""
    classes = [each for each in _tree(path).body if isinstance(each, ast.ClassDef)]
    return [each for of in classes for each in of.body if isinstance(each, Function) and each.name == name]


def _arguments(function: Function) -> list[str]:
    given = function.args
    return [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]


@cache
def _caught(function: Function) -> set[str]:
    return {each.name for each in ast.walk(function) if isinstance(each, ast.ExceptHandler) and each.name}


@cache
def _assigned(within: ast.AST, name: str) -> list[ast.expr]:
    """What is assigned to a variable of a function or module, or to an attribute of ``self`` in a class."""
    nodes = within.body if isinstance(within, ast.Module) else ast.walk(within)
    values = []
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name() | ast.Attribute() as target], value=value):
                pass
            case ast.AnnAssign(target=ast.Name() | ast.Attribute() as target, value=ast.expr() as value):
                pass
            case ast.NamedExpr(target=target, value=value):
                pass
            case _:
                continue
        if _name(target) == name and isinstance(target, ast.Attribute) <= isinstance(within, ast.ClassDef):
            values.append(value)
    return values
