import uuid

import pytest
from botocore.exceptions import ClientError

from tests.services.s3.yard import Yard


@pytest.fixture(scope="session")
def yard(tmp_path_factory):
    made = Yard(tmp_path_factory.mktemp("s3"))
    yield made
    made.close()


@pytest.fixture
def s3(yard):
    return yard.client()


@pytest.fixture
def bucket(s3):
    name = f"b-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def refused():
    """`refused(call, "NoSuchKey", 404)`: calls and checks code and HTTP status; answers the error's members."""

    def check(call, code, status=None):
        with pytest.raises(ClientError) as found:
            call()
        error, http = found.value.response["Error"], found.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert error["Code"] == code, error
        assert status is None or http == status
        return error

    return check
