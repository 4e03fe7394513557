from __future__ import annotations

import pytest

from modelyard.kernel.clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def sm(yard):
    return yard.client("secretsmanager")
