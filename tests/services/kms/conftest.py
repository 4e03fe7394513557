from __future__ import annotations

import pytest

from modelyard.kernel.clock import ManualClock
from tests.support.platform import InProcess


@pytest.fixture
def yard(tmp_path):
    made = InProcess(tmp_path, clock=ManualClock())
    yield made
    made.close()


@pytest.fixture
def kms(yard):
    return yard.client("kms")
