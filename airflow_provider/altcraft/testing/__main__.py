"""The emulator as a command: ``python -m airflow_provider.altcraft.testing``. Serves until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import threading
from datetime import UTC, datetime, timedelta

from airflow_provider.altcraft.testing import Emulator


def main(argv: list[str] | None = None) -> int:
    """Serve an emulator as the arguments say; the exit code is 0 after SIGINT or SIGTERM."""
    options = _parser().parse_args(argv)
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
        record=False,
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
    with api:
        print(f"URL:      {api.url}")
        print(f"Token:    {api.token}")
        print(f"Database: {options.list_id}")
        if options.profiles:
            print(
                f"Profiles: {options.profiles:,} with {options.events:,} events each in the {options.days:g} days "
                f"before today (UTC), user0@example.com to user{options.profiles - 1}@example.com"
            )
        print("Press Ctrl-C to stop.", flush=True)
        end.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider.altcraft.testing",
        description="An emulator of the Altcraft Platform's API, for tests and demos.",
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
    return parser


def _midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


if __name__ == "__main__":
    raise SystemExit(main())
