from __future__ import annotations

import pytest

from tests.support.platform import InProcess


@pytest.fixture
def clock():
    """The platform's; None: the system's. A module that moves the time has a fixture of this name of its own."""
    return None


@pytest.fixture
def yard(tmp_path, clock):
    """A platform in this process."""
    made = InProcess(tmp_path, clock)
    yield made
    made.close()


@pytest.fixture
def client(yard):
    return yard.client
