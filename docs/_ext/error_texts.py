"""A Sphinx extension: every text that an error of the package begins or is made of, read from the code itself.

``docs/troubleshooting.md`` has a line ``<!-- error texts -->``, which the tables of ``tables`` take the place of.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from raised_texts import Raised, Texts

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PACKAGE = Path(__file__).parents[2] / "airflow_provider" / "altcraft"
MARK = "<!-- error texts -->"


class Area(NamedTuple):
    """Errors that have something in common.

    Attributes:
        heading: what they stand below.
        meaning: what they mean and what to do, as Markdown.
    """

    heading: str
    meaning: str


AREAS = {
    "client": Area(
        "Requests to the platform",
        "A `ValueError` is of an argument or of the connection: correct what its first words name. The other classes "
        "are those of the [client](reference/client.md). A `FatalError` and what inherits from it (`BadRequestError`, "
        "`TokenError`, `TariffError`, `AccessError`, `CertificateError`) fails the task without retries: correct the "
        "connection, the arguments or the account first. Behind any other the client has asked again for as long as "
        "`outage_timeout` and its attempts allow: retry the task later, and look at the platform, its proxies and the "
        "network where it goes on.",
    ),
    "hooks": Area(
        "The connection",
        "A field of the Airflow connection does not fit, and nothing was asked. Correct the field that the text names; "
        "[connection](connection.md) has each with its form.",
    ),
    "operators": Area(
        "Operators",
        "Arguments that do not fit, or not with each other. Correct the DAG file, or the output or template that gave "
        "the value, or do what the text says; [history](history.md) and [whole databases](database.md) have each "
        "argument.",
    ),
    "sensors": Area(
        "Sensors",
        "A `ValueError` is of an argument: correct the DAG file. The others are the outcome of a wait: its time is "
        "over, or somebody did what `fail_on` names. `AirflowSensorTimeout` and `AirflowFailException` fail the task "
        "without retries, `AirflowSkipException` (by `soft_fail`, `never_fail`) skips it; look at "
        "`actions`, `since` and `timeout` where people did act ([waiting](waiting.md)).",
    ),
    "waiting": Area(
        "Waits",
        "A `ValueError` is of an argument of a wait: correct it in the DAG file, or in what gave it "
        "([waiting](waiting.md)); a state of a later version needs that version. A `RetriableError` passes by itself "
        "or with the next try of the task.",
    ),
    "extract/sources": Area(
        "Sources of profiles",
        "The profiles of a pull cannot be read, or a row of them fits no lookup. The text names the file, sheet, line "
        "or column: correct it there, or the source's arguments ([history](history.md)). What it names in `pip "
        "install` is missing on the worker.",
    ),
    "extract": Area(
        "Pulls",
        "The platform's history did not come as it should. A retry asks again. No task fails by an "
        "`OrderError`: the pull goes on with one walk instead of several, and its log has the text. A `note` stands "
        "behind another error's text, and "
        "says of which profile that is and what an argument would change.",
    ),
    "targets/object_storage": Area(
        "Files and objects",
        "A `ValueError` is of the path or the format: correct the argument, as the text says ([targets](targets.md)). "
        "An `OSError` is of the place: give the connection the right, make the room or the bucket, and run the "
        "task again.",
    ),
    "targets/sql": Area(
        "Tables in databases",
        "A `ValueError` is of the table, the connection or what the user may do: the text has the statement or the "
        "argument that helps ([SQL](sql.md)). After `InTheWayError` and `UnreachableError` a retry of the task may go "
        "through as it is. The transaction was rolled back, or what was staged is never shown.",
    ),
    "targets/dlt": Area(
        "dlt",
        "A `ValueError` is of the target's arguments or of dlt's configuration: correct it ([targets](targets.md)). An "
        "`OSError` has what dlt met; a retry loads the same again, and merges it.",
    ),
    "targets/delta": Area(
        "Delta Lake",
        "A `ValueError` is of the path, or of a table that has other columns: correct it, or write to a new table "
        "([lakehouse](lakehouse.md)). After an `InTheWayError` a retry may go through; nothing was committed.",
    ),
    "targets": Area(
        "Targets",
        "A `ValueError` is of the target itself or of what was there: correct the argument, or the place "
        "([targets](targets.md)). An `OSError` is of the store or the catalog: look at its connection and rights, and "
        "run the task again.",
    ),
    "cli": Area(
        "The command line",
        "Of a `UsageError` correct the arguments: `airflow altcraft COMMAND --help` lists them ([the command "
        "line](command-line.md)). What else a command says is in the other tables.",
    ),
    "page": Area(
        "The page",
        "What the page of a task instance answers instead: the viewer lacks the right to it in Airflow, or it is not "
        "there any more ([the page](page.md)).",
    ),
    "testing": Area(
        "The emulator and the conformance suite",
        "A `RefusalError` is what the emulator answers as the platform would. The others are of a test's own calls: "
        "correct the test ([testing](emulator.md)).",
    ),
    "": Area(
        "Arguments",
        "Arguments of several operators and sensors, their templates and connections: correct what the text names "
        "before its colon, in the DAG file or in what gave the value. An extra that is named in `pip install` is "
        "missing where the task runs. `SystemExit` is Airflow's end of a task: its own log says why.",
    ),
}
"""Folders of the package in the order of the page; a module counts to the longest that it is in."""


class ErrorText(NamedTuple):
    """One place that raises an error.

    Attributes:
        area: the heading it stands below.
        kind: the error's class, or ``note`` for what is added to another error.
        text: what it says, with ``…`` for what is known only when it is raised.
    """

    area: str
    kind: str
    text: str


def error_texts() -> list[ErrorText]:
    """All of them, in the order of ``AREAS`` and then of the text."""
    found = {ErrorText(_area(each.path).heading, said.kind, said.text) for each in _raised() for said in each.said}
    headings = [area.heading for area in AREAS.values()]
    return sorted(found, key=lambda each: (headings.index(each.area), each.text.casefold(), each.kind))


def without_text() -> set[str]:
    """Each ``raise`` of which the code tells no text, as ``module: code``."""
    raises = [each for each in _raised() if isinstance(each.node, ast.Raise) and not each.said]
    return {f"{each.path.as_posix()}: {ast.unparse(each.node)}" for each in raises}


def tables() -> str:
    """The same as Markdown."""
    texts = error_texts()
    lines: list[str] = []
    for area in AREAS.values():
        rows = [(kind, text) for heading, kind, text in texts if heading == area.heading]
        if not rows:
            continue
        lines += ["", f"### {area.heading}", "", area.meaning, "", "| error | text |", "| --- | --- |"]
        for kind, text in rows:
            shown = text.replace("|", "\\|").replace("`", "'")
            lines.append(f"| `{kind}` | `{shown}` |")
    return "\n".join(lines)


@cache
def _raised() -> list[Raised]:
    return list(Texts(PACKAGE, "airflow_provider.altcraft").raised())


def _area(path: Path) -> Area:
    folder = path.parent.as_posix()
    names = [name for name in AREAS if not name or folder == name or folder.startswith(f"{name}/")]
    return AREAS[max(names, key=len)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx fill the page in."""

    def fill(app: Sphinx, name: str, source: list[str]) -> None:
        if name == "troubleshooting":
            source[0] = source[0].replace(MARK, tables())

    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
