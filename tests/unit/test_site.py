"""What the site of the documentation is made of (``make docs``): no public name and no error text is missing."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))


def documented() -> list[str]:
    """The modules of the reference, as its pages name them."""
    from reference import MARK

    return [
        name for page in DOCS.rglob("*.md") for found in MARK.finditer(page.read_text()) for name in found[1].split()
    ]


def test_every_module_that_users_import_from_is_in_the_reference() -> None:
    """Those that the examples, the pages and the tests of names import from."""
    from reference import PACKAGE

    pages = [*DOCS.rglob("*.md"), *(DOCS.parent / "example_dags").glob("*.py"), DOCS.parent / "README.md"]
    imported = {
        name for page in pages for name in re.findall(rf"^from ({PACKAGE}\S*) import", page.read_text(), re.MULTILINE)
    }
    assert imported <= {f"{PACKAGE}.{name}" for name in documented()}


def test_every_public_name_is_in_the_reference() -> None:
    """Of each documented module, and of each other that has an ``__all__`` and no private name in its path."""
    from reference import PACKAGE, directives, public_names

    written = {
        name: set(re.findall(r"^\.\. \w+:: (\w+)", directives(name), re.MULTILINE)) | {name.rpartition(".")[2]}
        for name in documented()
    }
    folder = DOCS.parent.joinpath(*PACKAGE.split("."))
    paths = [path for path in folder.rglob("*.py") if "\n__all__" in path.read_text()]
    others = {".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__") for path in paths}
    for name in (*written, *(other for other in others if "._" not in f".{other}")):
        module = importlib.import_module(f"{PACKAGE}.{name}")
        assert set(public_names(module)) <= set().union(*written.values()), name


def test_every_argument_is_in_the_reference() -> None:
    """Of what DAG files make, all arguments are described; of all else, all or none, where its line says enough."""
    from reference import PACKAGE, public_names

    missing = []
    for name in documented():
        module = importlib.import_module(f"{PACKAGE}.{name}")
        for each in public_names(module):
            value = getattr(module, each)
            if not isinstance(value, type) and not inspect.isroutine(value):
                continue
            assert inspect.getdoc(value), f"{name}.{each}"
            described = text_of(module, value)
            if name.split(".")[0] in MADE_BY_DAG_FILES or "Args:" in described:
                given = inspect.signature(value.__init__ if isinstance(value, type) else value).parameters.values()
                named = [given.name for given in given if given.kind not in {given.VAR_KEYWORD, given.VAR_POSITIONAL}]
                missing += [
                    f"{name}.{each}: {arg}" for arg in named if arg != "self" and f"    {arg}:" not in described
                ]
    assert missing == []


MADE_BY_DAG_FILES = {"hooks", "operators", "sensors", "triggers", "extract"}


def text_of(module: ModuleType, value: Any) -> str:
    """Its docstring, those of its bases, and that of what it says it shares its arguments with."""
    own = [each.__doc__ or "" for each in (inspect.getmro(value) if isinstance(value, type) else [value])]
    own += [value.__init__.__doc__ or ""] if isinstance(value, type) else []
    others = re.findall(r"Arguments[\w ,]* are those of ``(\w+)``", "".join(own))
    return "\n".join(own + [text_of(module, getattr(module, other)) for other in others])


def test_error_texts_are_read_from_the_code() -> None:
    from error_texts import AREAS, error_texts, tables

    texts = {text for _, _, text in error_texts()}
    assert len(texts) > 400
    assert "list_id: expected the integer id of a profile database, got …" in texts
    assert "token: missing; expected an API token of the platform" in texts
    assert "`the client is closed`" in tables()
    assert all(f"### {area.heading}\n\n{area.meaning}" in tables() for area in AREAS.values())


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        # By a variable, a helper's text, a helper's error, a subclass' method, an attribute.
        ("CommandError", "database …: expected events of recent days that show the time zone; it has none"),
        ("AirflowSensorTimeout", "… did not do … within the timeout of …."),
        ("ConnectError", "could not connect, so nothing was sent: no such host"),
        ("ValueError", "expected no blanks before or after the value; write it without them"),
        ("ValueError", "…: expected one visible sheet, got …; sheet=… names one of …"),
        # By a table of classes and texts, behind an errno, by a class that is looked up, before a ``with`` block.
        ("AccessError", "the token has no right to this: grant it in the platform, or look at list_id"),
        ("OSError", "No space left in …: … of … MiB are free; make room there, and run the task again"),
        ("OSError", "the folder … cannot be made: …"),
        ("note", "No profile's history could be read, so nothing was written."),
    ],
)
def test_error_texts_are_found_however_they_are_made(kind: str, text: str) -> None:
    from error_texts import error_texts

    assert (kind, text) in {(each.kind, each.text) for each in error_texts()}


def test_every_raise_has_a_text_on_the_page() -> None:
    from error_texts import without_text

    abstract = {each for each in without_text() if each.endswith(": raise NotImplementedError")}
    assert without_text() - abstract == {
        f"{module}: {code}" for module, codes in WITHOUT_TEXT.items() for code in codes
    }


WITHOUT_TEXT = {
    "_airflow/rendering.py": [  # caught there, and said by check_rendered
        "raise _NoneError",
        "raise _NothingError(repr(str(content)))",
        "raise _NothingError(repr(str(content))) from None",
    ],
    "_arguments.py": ["raise ValueError(f'{place}: {error}') from None"],
    "_redact.py": ["raise _clean(error) from None"],
    "_threads.py": ["raise self._error"],
    "cli/_arguments.py": ["raise UsageError(text) from None"],
    "cli/_run.py": [  # exit codes
        "raise SystemExit(INTERRUPTED) from None",
        "raise SystemExit(NOT_READ) from None",
        "raise SystemExit(code) from None",
        "raise SystemExit(found.code)",
    ],
    "cli/look.py": ["raise CommandError(message)"],
    "cli/pull.py": ["raise SystemExit(128 + number)"],
    "client/_async_client.py": ["raise walk.refused(error) from None"],
    "client/_bulk.py": ["raise error"],
    "client/_client.py": ["raise walk.refused(error) from None"],
    "client/_core.py": [  # pydantic's text
        "raise UnreadableAnswerError(f\"{where}: {first['msg']}\", http_status=http_status) from None"
    ],
    "client/_json.py": ["raise ValueError(str(error)) from None"],
    "client/_responses.py": [  # the texts are those of its table
        "raise _error(response, code, shorten(redact(text, secrets)) if isinstance(text, str) else None)"
    ],
    "extract/database/pull.py": ["raise taken"],
    "extract/decoding/decoder.py": ["raise TypeError"],  # caught there
    "extract/decoding/decoder_main.py": ["raise EOFError"],  # ends the process
    "extract/profiles/pull.py": ["raise error"],
    "extract/sources/_query.py": ["raise ValueError(f'conn_id: {error}') from error"],
    "operators/_base.py": [
        "raise AirflowFailException(_message_of(error)) from error",
        "raise AirflowFailException(str(error)) from error",
    ],
    "operators/_database.py": ["raise AirflowFailException(str(error)) from error"],
    "operators/events.py": ["raise AirflowFailException(str(error)) from error"],
    "operators/history.py": ["raise ValueError(f'{place}: {error}') from error"],
    "sensors/action.py": [
        "raise AirflowSkipException(outcome['message'])",  # an error of the triggerer, handed on
        "raise AirflowSkipException(str(error)) from error",
        "raise kind(outcome['message'])",
        "raise reschedule_at(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=pause))",  # no error
        "raise self._for_good(outcome['message'])",
        "raise self._for_good(str(error)) from error",
    ],
    "targets/delta/errors.py": ["raise ValueError(f'{uri}: {redacted(error)}') from None"],
    "targets/dlt/load.py": [
        "raise ValueError(f'{self._uri}: {error}') from error",
        "raise ValueError(f'{self._uri}: {newer}') from error",
        "raise first from None",
    ],
    "targets/iceberg/errors.py": ["raise ValueError(f'{uri}: {redacted(error)}') from None"],
    "targets/object_storage/stores/azure.py": [
        "raise FileNotFoundError(str(error).partition('\\n')[0]) from error",
        "raise PermissionError(str(error).partition('\\n')[0]) from error",
    ],
    "targets/sql/clickhouse/server.py": [
        "raise OSError(f'{uri}: {said}') from None",
        "raise ValueError(f'{uri}: {error}') from error",
    ],
    "targets/sql/target.py": [
        "raise OSError(f'{self.uri}: {error}') from error",
        "raise OSError(f'{self.uri}: {errors.message_of(driver)}') from None",
        "raise ValueError(f'{self.uri}: {error}') from error",
        "raise ValueError(f'{uri}: {error}') from error",
        "raise errors.UnreachableError(f'{self.uri}: {errors.message_of(driver)}') from None",
    ],
    "testing/__main__.py": ["raise SystemExit(main())"],
    "testing/_dag_runner.py": ["raise SystemExit('\\n'.join(map(str, bag.import_errors.values())))"],
    "testing/conformance/killing.py": ["raise Interrupted"],  # stands for a signal
    "window.py": ["raise ValueError(f'{name}: {error}') from None"],
}
"""Raises that have no text of the package's own: what they raise again was made, and is found, elsewhere."""
