"""The commands and their arguments, as Airflow's own parser takes them.

Every ``airflow`` command imports this module, so it imports nothing that Airflow's parser has not imported already.
What a command does is imported when it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_provider.altcraft.client._lookup import LOOKUP_FIELDS, MATCHING

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from airflow.cli.cli_config import CLICommand

_HERE: Final = "airflow_provider.altcraft.cli"

_CONNECTION: Final = Arg(
    ("--conn-id",), help="The Airflow connection (default: altcraft_default)", default="altcraft_default"
)
_LIST_ID: Final = Arg(("--list-id",), help="The profile database; the connection's own where left out")
_TIMEZONE: Final = Arg(("--timezone",), help="IANA name of the time zone of the days (default: UTC)", default="UTC")
_OUTPUT: Final = Arg(
    ("-o", "--output"),
    help="Output format (default: table)",
    metavar="(table, json, yaml, csv)",
    choices=("table", "json", "yaml", "csv"),
    default="table",
)
_VERBOSE: Final = Arg(("-v", "--verbose"), help="Show the log, on stderr", action="store_true")
_COMMON: Final = (_OUTPUT, _VERBOSE)
_MATCHING: Final = Arg(
    ("--matching",),
    help="By what profiles are looked up; by e-mail, or by the fields that are given, where left out",
    metavar="MODE",
    choices=("xxh", *MATCHING),
)
_FIELDS: Final = tuple(
    Arg((f"--{name.replace('_', '-')}",), help=f"The field {name} of a lookup") for name in LOOKUP_FIELDS
)


def get_cli_commands() -> list[CLICommand]:
    """Return the commands for Airflow, which finds this function by the key ``cli`` of the provider info."""
    return [
        GroupCommand(
            name="altcraft",
            help="Look at an account of the Altcraft Platform, and pull from it",
            description="The token comes from an Airflow connection, and is never an argument.",
            subcommands=(_history(), _databases(), _timezone(), _test(), _pull()),
        )
    ]


def _command(name: str, work: str, help: str, *args: Arg) -> ActionCommand:  # noqa: A002 - Airflow's own name
    return ActionCommand(name=name, help=help, func=_guarded(name, work), args=(*args, *_COMMON))


def _guarded(name: str, work: str) -> Callable[[Namespace], None]:
    run: Any = lazy_load_command(f"{_HERE}._run.run")

    def command(options: Namespace) -> None:
        run(f"{_HERE}.{work}", options)

    command.__name__ = name
    return command


def _history() -> ActionCommand:
    return _command(
        "history",
        "look.history",
        "Show what a person did, oldest first",
        Arg(("profile",), help="The person's e-mail, or the one field of --matching", nargs="?", metavar="PROFILE"),
        _MATCHING,
        *_FIELDS,
        Arg(("--actions",), help="Only these actions, parted by commas, such as open,click"),
        Arg(("--since",), help="A date, from its first instant on, or a date-time with a time zone"),
        Arg(("--until",), help="A date, to its last instant, or a date-time with a time zone, itself excluded"),
        _LIST_ID,
        _TIMEZONE,
        _CONNECTION,
    )


def _databases() -> ActionCommand:
    return _command("databases", "look.databases", "List the profile databases that the token sees", _CONNECTION)


def _timezone() -> ActionCommand:
    return _command(
        "timezone", "look.timezone", "Find out by real events how the account counts days", _LIST_ID, _CONNECTION
    )


def _test() -> ActionCommand:
    return _command(
        "test",
        "look.test",
        "Test a connection, as the Test button of its page does; the exit code is 1 where it fails",
        Arg(
            ("conn_id",),
            help="The connection (default: altcraft_default)",
            nargs="?",
            default="altcraft_default",
            metavar="CONN_ID",
        ),
    )


def _pull() -> ActionCommand:
    return _command(
        "pull",
        "pull.pull",
        "Export history into a target, once: of some profiles, or of a whole database",
        Arg(
            ("--target",), help="A path or URI, such as history.parquet or s3://conn_id@bucket/history/", required=True
        ),
        Arg(("--profiles",), help="A file or object of profiles: CSV, Excel, JSON lines, Parquet", metavar="FILE"),
        Arg(("--profile",), help="An e-mail, or the one field of --matching; may be given again", action="append"),
        _MATCHING,
        Arg(("--column",), help="The column of FILE that holds the value; called like its field where left out"),
        Arg(("--field-name",), help="The profile field that --matching custom compares"),
        Arg(("--date-from",), help="A date, from its first instant on, or a date-time with a time zone"),
        Arg(("--date-to",), help="A date, to its last instant, or a date-time with a time zone, itself excluded"),
        Arg(
            ("--on-profile-error",),
            help="Whether a profile whose history cannot be read ends the pull, or is reported (default: fail)",
            choices=("fail", "skip"),
        ),
        _LIST_ID,
        _TIMEZONE,
        _CONNECTION,
    )
