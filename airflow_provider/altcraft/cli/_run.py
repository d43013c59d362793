"""Runs a command: its result goes to stdout, its log and errors to stderr; it ends with an exit code."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from typing import Any, Final, NoReturn, TextIO

from airflow_provider.altcraft._airflow.connections import as_server
from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft.cli._errors import CommandError
from airflow_provider.altcraft.cli._output import Found

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as of a process that SIGINT ended."""

NOT_READ: Final = 141
"""The exit code where the reader of stdout, such as ``head``, has closed it; as of a process that SIGPIPE ended."""

_PIECE: Final = 1 << 15


def run(work: str, options: Namespace) -> None:
    """Run a command; it ends by ``SystemExit`` unless all went well.

    Args:
        work: the function, by module and name; it takes the options and returns what it found.
        options: what the command line says.
    """
    module, _, name = work.rpartition(".")
    try:
        with _log_on_stderr(sys.stdout, options.verbose), as_server(), warnings.catch_warnings():
            if not options.verbose:
                warnings.simplefilter("ignore")  # of Airflow and others, on what no user of a command can change
            found: Found = getattr(import_module(module), name)(options)
        _write(found.text(options.output))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except CommandError as error:
        _fail(error, error.code)
    except Exception as error:  # whatever it is, a user of a command line is shown no traceback
        _fail(error, 1)
    if found.code:
        raise SystemExit(found.code)


def _fail(error: Exception, code: int) -> NoReturn:
    said = " ".join([str(error), *getattr(error, "__notes__", [])]).strip() or type(error).__name__
    sys.stderr.write(f"error: {' '.join(redacted(said).split())}\n")
    raise SystemExit(code) from None


@contextmanager
def _log_on_stderr(stdout: TextIO, verbose: bool) -> Iterator[None]:
    """Log to stderr, warnings only unless more is asked for, so that stdout has nothing but the result."""
    root = logging.getLogger()
    handlers: list[Any] = list(root.handlers)
    level = root.level
    with redirect_stdout(sys.stderr):  # handlers that ask for stdout each time, and whatever a library prints
        bound = [each for each in handlers if getattr(each, "stream", None) is stdout]
        for handler in bound:
            handler.setStream(sys.stderr)
        root.setLevel(logging.INFO if verbose else logging.WARNING)
        if not verbose:
            for handler in handlers:
                handler.addFilter(_without_traceback)
        try:
            yield
        finally:
            root.setLevel(level)
            for handler in handlers:
                handler.removeFilter(_without_traceback)
            for handler in bound:
                handler.setStream(stdout)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Drop the traceback of a failed secrets backend, which Airflow 2.11 logs."""
    record.exc_info = record.exc_text = None
    return True


def _write(text: str) -> None:
    try:
        # In pieces: with PYTHONUNBUFFERED, Python takes one that a closed pipe took in part for written.
        for begin in range(0, len(text), _PIECE):
            sys.stdout.write(text[begin : begin + _PIECE])
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer would be written, and fail again, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(NOT_READ) from None
