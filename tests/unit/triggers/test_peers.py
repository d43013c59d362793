"""What other providers' watchers got wrong, and what is hard with any, by the number of Airflow's thread.

What becomes of several events that Airflow merges into one run (airflow#56749) is the consuming task's matter: see
``tests/unit/operators/test_events.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable

import pytest

from airflow_provider.altcraft.testing import Emulator, faults
from airflow_provider.altcraft.triggers.action import AltcraftActionEventTrigger
from tests.unit.triggers.watching import ON_AIRFLOW_3_3, SOON, Store, fired, keys, through_airflow, watcher

Connect = Callable[..., str]

pytestmark = pytest.mark.usefixtures("quick")


def walks(api: Emulator) -> list[float]:
    """When polls of the whole database began."""
    return [request.at.timestamp() for request in api.requests if not request.body["from_id"]]


def gaps(times: list[float]) -> list[float]:
    return [later - sooner for sooner, later in itertools.pairwise(times)]


def test_avoid_infinite_scheduling_what_stays_true_fires_once(api: Emulator) -> None:
    """As Airflow's own page on event-driven scheduling warns: a condition that stays true must not fire forever."""
    api.add_event("ann@example.com", "form_post")
    events = asyncio.run(fired(watcher(Store()), api, requests=20))
    assert len(walks(api)) >= 10
    assert [len(event["keys"]) for event in events] == [1]


def test_airflow_72376_failed_requests_end_no_watcher_and_are_not_repeated_ever_faster(api: Emulator) -> None:
    api.play(*[faults.error(403, "no")] * 4)  # each poll is one request: no other would help
    api.add_event("ann@example.com", "form_post")
    events = asyncio.run(fired(watcher(Store()), api, requests=8))
    assert [len(event["keys"]) for event in events] == [1]
    assert min(gaps([request.at.timestamp() for request in api.requests])[:4]) > 0.19  # in earnest five minutes


def test_airflow_57583_there_is_an_interval_between_looks(api: Emulator) -> None:
    asyncio.run(fired(watcher(Store(), poll_interval=0.3), api, requests=6))
    assert min(gaps(walks(api))) > 0.29


if ON_AIRFLOW_3_3:  # before it watchers share no polls, and are stored in other ways

    def test_airflow_65103_twenty_five_assets_are_one_poller(api: Emulator) -> None:
        triggers = [watcher(Store(), actions=["form_post", f"own_{number}"]) for number in range(25)]
        found = asyncio.run(through_airflow(api, triggers, 12, lambda: api.add_event("ann@example.com", "form_post")))
        assert [len(keys(events)) for events in found] == [1] * 25
        # The first poll may be made for some of them, and the second hastened for those that came after it.
        assert sum(gap < 0.9 * SOON for gap in gaps(walks(api))) <= 1

    def test_airflow_50369_a_plain_asset_watcher_hands_on_what_the_event_says(api: Emulator) -> None:
        """Of the thread's patterns the one that Airflow kept: no watcher of one's own, a trigger with a payload.

        The trigger goes through Airflow's database: from the DAG file to the scheduler's copy, and on to the triggerer.
        """
        from airflow.models.trigger import Trigger
        from airflow.sdk import DAG, Asset, AssetWatcher
        from airflow.serialization.decoders import smart_decode_trigger_kwargs
        from airflow.serialization.encoders import encode_trigger
        from airflow.serialization.serialized_objects import DagSerialization

        profiles = ["ann@example.com", {"matching": "custom", "field_name": "CRM_ID", "field_value": 7}]
        trigger = watcher(Store(), profiles=profiles, list_id=1)
        asset = Asset("forms", watchers=[AssetWatcher(name="forms", trigger=trigger)])
        parsed = DagSerialization.from_dict(
            json.loads(json.dumps(DagSerialization.to_dict(DAG("dag", schedule=[asset]))))
        )
        ((_, kept),) = parsed.timetable.asset_condition.iter_assets()
        stored = encode_trigger(kept.watchers[0].trigger)
        arguments = Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(stored["kwargs"]))
        again = AltcraftActionEventTrigger(**{name: smart_decode_trigger_kwargs(arguments[name]) for name in arguments})
        assert again.serialize() == trigger.serialize()
        assert again.serialize()[0] == stored["classpath"]

        api.add_event("ann@example.com", "form_post")
        (payload,) = asyncio.run(fired(again, api, requests=8))
        assert {*payload} == {"list_id", "actions", "keys", "window"}
        assert payload == json.loads(json.dumps(payload))
