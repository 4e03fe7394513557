"""MLflow's own client and AWS's plug-in against a managed tracking server."""

import pytest

from modelyard.services.sagemaker.tracking_server.operations import VERSION


@pytest.fixture(scope="module")
def told(yard):
    role = yard.client("iam").get_role(RoleName="ModelyardExecutionRole")["Role"]["Arn"]
    return yard.python("client-sdk3", "mlflow_tracking.py", role, timeout=500)


def test_tracked_by_arn(told):
    assert told["created"] == "Created"
    assert any(key.startswith("mlflow/") and key.endswith("/artifacts/notes.txt") for key in told["keys"]) and told["text"] == "hello"


def test_what_was_tracked_outlives_a_stop(told):
    assert (told["stopped"], told["started"]) == ("Stopped", "Started")
    assert told["found"] == ["first", {"depth": "3", "eta": "0.1"}, {"loss": 0.2}, 5]


def test_the_presigned_url_is_page_and_tracking_uri(told):
    assert "<title>MLflow</title>" in told["page"] and told["version"] == VERSION
    assert told["registered"] == "churn-model" and told["left"] == []
