"""SageMaker SDK v2: AsyncPredictor and data capture, unchanged."""

import pytest

from tests.journeys.conftest import HERE


@pytest.fixture(scope="module")
def sdk(yard):
    role = yard.client("iam").get_role(RoleName="ModelyardExecutionRole")["Role"]["Arn"]
    return yard.python("client-sdk2", "sdk2_async.py", str(HERE / "code/echo"), role, timeout=300)


def test_predictions(sdk):
    assert sdk["predict"] == [2, 4, 6]
    assert sdk["get_result"] == [8]
    assert "/async/out/" in sdk["output_path"]


def test_failure_is_the_models(sdk):
    assert "asked to fail" in sdk["failure"]


def test_capture(sdk):
    (line,) = sdk["captured"]
    assert line["captureData"]["endpointInput"] == {
        "observedContentType": "application/json",
        "mode": "INPUT",
        "data": '{"rows": [5]}',
        "encoding": "JSON",
    }
    assert line["captureData"]["endpointOutput"]["data"] == "[10]"
    assert sdk["after disable"]["EnableCapture"] is False and sdk["after disable"]["CaptureStatus"] == "Stopped"
    assert sdk["captured after"] == [{"rows": [5]}, {"rows": [7]}]
