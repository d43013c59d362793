"""Rows for the tests of targets."""

from __future__ import annotations

import pytest

from tests.batches import make_batch


@pytest.fixture
def batch():
    return make_batch
