"""The errors of the commands themselves."""

from __future__ import annotations


class CommandError(Exception):
    """A command failed; the message is one line for its user."""

    code = 1


class UsageError(CommandError):
    """The command line does not fit; the message names the argument."""

    code = 2
