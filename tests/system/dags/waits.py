"""One wait in each of the sensor's modes, for the tests."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider.altcraft.sensors.action import AltcraftActionSensor

MODES = {"poke": {"mode": "poke"}, "reschedule": {"mode": "reschedule"}, "deferrable": {"deferrable": True}}

with DAG("waits", schedule=None) as dag:
    for name, mode in MODES.items():
        AltcraftActionSensor(
            task_id=name, profile="ann@example.com", actions="form_post", poke_interval=1, timeout=60, **mode
        )
