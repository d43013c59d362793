"""An emulator of the Altcraft Platform for tests and demos, and the pytest fixture ``altcraft_api`` that starts it.

Nothing is imported until it is asked for: pytest loads this package in every run where the provider is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider.altcraft.testing import faults as faults
    from airflow_provider.altcraft.testing.emulator.emulator import Emulator as Emulator
    from airflow_provider.altcraft.testing.emulator.record import RecordedRequest as RecordedRequest
    from airflow_provider.altcraft.testing.emulator.rows import Profile as Profile

__all__ = ["Emulator", "Profile", "RecordedRequest", "faults"]


def __getattr__(name: str) -> Any:
    """Import the emulator when one of its names is first used.

    Raises:
        ImportError: what the emulator needs is not installed.
    """
    if name not in {"Emulator", "Profile", "RecordedRequest"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from airflow_provider.altcraft.testing.emulator import emulator
    except ModuleNotFoundError as missing:
        raise ImportError(
            f"The Altcraft emulator needs {missing.name}: pip install 'airflow-provider-altcraft[testing]'"
        ) from missing
    found = getattr(emulator, name)
    found.__module__ = __name__  # where users import it from, which tracebacks and `repr` show
    return found
