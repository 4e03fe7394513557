from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support.boxes import Boxes


@pytest.fixture(scope="module")
def boxes():
    with tempfile.TemporaryDirectory(prefix="my-bad-", ignore_cleanup_errors=True) as folder:  # short: unix sockets are made in it
        made = Boxes(Path(folder))
        yield made
        made.close()


@pytest.fixture
def refused():
    """`refused(call, "ValidationException", "part of the message")`: the error's members; never a 5xx."""

    def check(call, code, text="", status=400):
        with pytest.raises(ClientError) as found:
            call()
        response = found.value.response
        error = response["Error"]
        assert error["Code"] == code and text in error["Message"], error
        assert response["ResponseMetadata"]["HTTPStatusCode"] == status
        return response

    return check
