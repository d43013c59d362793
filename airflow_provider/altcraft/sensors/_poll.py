"""One poll from a worker: the history of each profile that is still waited for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_provider.altcraft._threads import run_in_thread
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.waiting.state import WaitState, gives_up, unreadable

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AltcraftClient, AltcraftError


def poll(altcraft_conn_id: str, wait: WaitState, list_id: int | None) -> list[AltcraftError]:
    """Poll once, by the connection as it is now, and return the errors of failed requests."""
    from airflow_provider.altcraft.client import BadRequestError

    errors: list[AltcraftError] = []
    try:
        client = AltcraftHook(altcraft_conn_id).get_conn()
    except ValueError as error:  # the connection does not fit: as fatal as a refused request
        return [BadRequestError(str(error))]
    except Exception as error:
        return [unreadable(altcraft_conn_id, error)]
    with client:
        try:
            _ask(client, wait, list_id, errors)
        except ValueError as error:  # an argument, or the lack of a database
            errors.append(BadRequestError(str(error)))
    return errors


def _ask(client: AltcraftClient, wait: WaitState, list_id: int | None, errors: list[AltcraftError]) -> None:
    from airflow_provider.altcraft.client import AltcraftError

    names = wait.condition.names
    day = None if wait.since is None else wait.since.date()
    waiting = wait.waiting()
    left, turn, stop = iter(waiting), threading.Lock(), threading.Event()

    def some_of_them() -> None:
        while not stop.is_set():
            with turn:
                place, profile = next(left, (None, None))
            if place is None or profile is None:
                return
            try:
                wait.record(place, client.get_history(profile, list_id=list_id, date_from=day, actions=names))
            except AltcraftError as error:
                errors.append(error)
                if gives_up(errors):
                    stop.set()

    if len(waiting) == 1:
        some_of_them()
        return
    workers = min(client.settings.max_connections, len(waiting))

    def end() -> None:
        stop.set()
        client.close()

    def all_of_them() -> None:
        with ThreadPoolExecutor(workers) as pool:
            try:
                for future in [pool.submit(some_of_them) for _ in range(workers)]:
                    future.result()
            except BaseException:  # the others end at their next request
                end()
                raise

    run_in_thread(all_of_them, end)
