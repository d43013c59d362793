"""The same as ``airflow altcraft``, for where Airflow reads no commands of providers (2.11)."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any


def parser() -> ArgumentParser:
    """Return a parser of the commands that ``airflow altcraft`` has."""
    from airflow.cli.cli_config import DefaultHelpParser

    from airflow_provider.altcraft.cli.definition import get_cli_commands

    group: Any
    (group,) = get_cli_commands()
    top = DefaultHelpParser(prog="python -m airflow_provider.altcraft", description=group.help)
    commands = top.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    for command in sorted(group.subcommands, key=lambda each: each.name):
        own = commands.add_parser(command.name, help=command.help, description=command.help)
        for argument in command.args:
            argument.add_to_parser(own)
        own.set_defaults(func=command.func)
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name; it ends by ``SystemExit`` unless all went well."""
    try:
        options = parser().parse_args(arguments)
        options.func(options)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
