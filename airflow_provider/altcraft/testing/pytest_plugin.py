"""The pytest fixture ``altcraft_api``. Imports only pytest: it loads in every run where the provider is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider.altcraft.testing import Emulator

# What their assertions compared is shown, as in a test module of one's own.
pytest.register_assert_rewrite(
    *(f"airflow_provider.altcraft.testing.conformance.{name}" for name in ("suite", "outages", "writing"))
)


@pytest.fixture
def altcraft_api(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A started emulator of the Altcraft Platform, of this test only.

    Its knobs are given by indirect parameters:
    ``@pytest.mark.parametrize("altcraft_api", [{"style": "old"}], indirect=True)``.
    """
    try:
        from airflow_provider.altcraft.testing import Emulator
    except ImportError as missing:
        pytest.fail(str(missing), pytrace=False)
    with Emulator(**getattr(request, "param", {})) as api:
        yield api
