from __future__ import annotations

import pytest

from tests.support.platform import InProcess


@pytest.fixture
def yard(tmp_path):
    """A platform in this process."""
    made = InProcess(tmp_path)
    yield made
    made.close()


@pytest.fixture
def client(yard):
    return yard.client
