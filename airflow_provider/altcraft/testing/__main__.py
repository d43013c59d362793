"""The emulator as a command: ``python -m airflow_provider.altcraft.testing`` serves until Ctrl-C.

With ``do``, ``fault``, ``requests`` or ``reset`` it asks one that serves, as the page of that one does.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

URL = "ALTCRAFT_EMULATOR_URL"
"""Environment variable that names the emulator that is asked."""

LISTED = 1000
"""Requests that the command keeps."""


def main(argv: list[str] | None = None) -> int:
    """Serve an emulator as the arguments say, or ask one.

    The exit code is 0 after SIGINT or SIGTERM and where the emulator did what was asked, else 1.
    """
    options = _parser().parse_args(argv)
    return _serve(options) if options.command is None else _ask(options)


def _serve(options: argparse.Namespace) -> int:
    from airflow_provider.altcraft.testing import Emulator
    from airflow_provider.altcraft.testing.emulator.console import PATH

    # Before the port is bound, so that there is no moment at which Ctrl-C would be a traceback.
    end = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: end.set())
    api = Emulator(
        token=options.token,
        host=options.host,
        port=options.port,
        style=options.style,
        latency=options.latency,
        record=LISTED,
    )
    if options.list_id != 1:
        api.add_database(options.list_id)
    if options.profiles:
        api.seed(
            list_id=options.list_id,
            profiles=options.profiles,
            events_per_profile=options.events,
            start=_midnight() - timedelta(days=options.days),
            days=options.days,
            seed=options.seed,
        )
    with ExitStack() as stack:
        try:
            stack.enter_context(api)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                said = f"--port: expected a free port of {options.host}, got {options.port}: {why}; "
                said += "may another emulator serve there?"
            else:
                said = "--host, --port: expected an address of this machine and a port from 0 to 65535, "
                said += f"got {options.host} and {options.port}: {why}"
            print(said, file=sys.stderr)
            return 1
        print(f"URL:      {api.url}")
        print(f"Token:    {api.token}")
        print(f"Database: {options.list_id}")
        if options.profiles:
            print(
                f"Profiles: {options.profiles:,} with {options.events:,} events each in the {options.days:g} days "
                f"before today (UTC), user0@example.com to user{options.profiles - 1}@example.com"
            )
        print(f"Page:     {api.url}{PATH} lets someone do something now, plays faults, lists requests; or:")
        print(f"          python -m airflow_provider.altcraft.testing do ann@example.com confirm --url {api.url}")
        print("Press Ctrl-C to stop.", flush=True)
        end.wait()
    return 0


def _ask(options: argparse.Namespace) -> int:
    """Ask the emulator that serves at the URL, and print what it says."""
    if not (options.url or "").startswith(("http://", "https://")):
        print(f"--url: expected the URL of an emulator that serves, there or in {URL}", file=sys.stderr)
        return 1
    fields: dict[str, Any] = {
        "do": {"who": options.who, "action": options.action, "message_id": options.message_id,
               "campaign_id": options.campaign_id, "list_id": options.list_id, "do": "event"},
        "fault": {"fault": options.fault, "times": options.times, "lookup": options.lookup, "do": "fault"},
        "reset": {"do": "reset"},
        "requests": {},
    }[options.command]  # fmt: skip
    path = "/emulator/requests" if options.command == "requests" else "/emulator"
    body = urlencode({name: value for name, value in fields.items() if value is not None}).encode() or None
    request = urllib.request.Request(options.url.rstrip("/") + path, body, {"Accept": "application/json"})  # noqa: S310
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        print(json.loads(text)["said"] if text.startswith("{") else text, file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"--url: expected the URL of an emulator that serves, got {options.url}: {error}", file=sys.stderr)
        return 1
    if isinstance(answer, dict):
        print(answer["said"])
        return 0
    for each in answer:
        print(f"{each['at']}  {each['method']:<28}  {each['lookup']:<28}  {each['fault'] or ''}".rstrip())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider.altcraft.testing",
        description="An emulator of the Altcraft Platform's API, for tests and demos. Without a command it serves.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind")
    parser.add_argument("--port", type=int, default=0, help="port to bind; 0 is a free one")
    parser.add_argument("--token", default="emulator-token", help="token to accept")
    parser.add_argument("--list-id", type=int, default=1, help="id of the profile database")
    parser.add_argument("--profiles", type=int, default=1000, help="number of virtual profiles; 0 is none")
    parser.add_argument("--events", type=int, default=100, help="events of each profile")
    parser.add_argument("--days", type=float, default=30, help="the events lie in so many days before today (UTC)")
    parser.add_argument("--seed", type=int, default=0, help="another number gives other events")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each answer takes")
    parser.add_argument("--style", choices=("new", "old"), default="new", help="shape of the rows")
    _add_commands(parser)
    return parser


def _add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the commands for an emulator that serves."""
    commands = parser.add_subparsers(dest="command", title="commands, which ask an emulator that serves")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--url", default=os.environ.get(URL), help=f"its URL; {URL} by default")
    parser.set_defaults(who=None, action=None, message_id=None, campaign_id=None, fault=None, times=None, lookup=None)
    do = commands.add_parser("do", parents=[where], help="let someone do an action now")
    do.add_argument("who", help="an e-mail, an xxh, or the name before @example.com; who is not there yet is added")
    do.add_argument("action", help="such as confirm")
    do.add_argument("--message-id", type=int)
    do.add_argument("--campaign-id", type=int)
    do.add_argument("--list-id", type=int, default=None, help="the database; by default the one served")
    fault = commands.add_parser("fault", parents=[where], help="play a fault on the next requests")
    fault.add_argument("fault", help="such as status-503 or reset; another word lists them")
    fault.add_argument("--times", type=int, default=1, help="on how many requests")
    fault.add_argument("--for", dest="lookup", help="only on requests for this e-mail, xxh or other value")
    commands.add_parser("requests", parents=[where], help="list the last requests")
    commands.add_parser("reset", parents=[where], help="forget requests and faults")


def _midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


if __name__ == "__main__":
    raise SystemExit(main())
