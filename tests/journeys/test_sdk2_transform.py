"""SDK v2's Transformer against a real platform: warm-up lab 3, and what courses do with joins, pipelines, failures and stops."""

import pytest

from tests.journeys.conftest import HERE


@pytest.fixture(scope="module")
def said(yard):
    return yard.python("client-sdk2", "sdk2_transform.py", str(HERE / "code/pipeline"), timeout=400)


def test_the_lab_gets_150_predictions_in_order(said):
    assert said["lab"]["rows"] == 150 and said["lab"]["right"] > 0.95
    assert "MaxConcurrentTransforms=" in said["stdout"] and "BatchStrategy=MULTI_RECORD" in said["stdout"]


def test_single_records_keep_their_order_with_four_at_once(said):
    assert said["single"] > 0.95
    assert said["attached"] == ["SingleRecord", "Line", 4, True]


def test_predictions_are_joined_with_the_id_column(said):
    assert said["join"]["ids"] and said["join"]["columns"] == 2 and said["join"]["right"] > 0.95


def test_data_capture_names_inputs_and_outputs(said):
    assert set(said["capture"]) == {"input", "output"}
    assert said["capture"]["input"][1:] == ["with_id.csv"] and said["capture"]["output"][1:] == ["with_id.csv.out"]


def test_an_inference_pipeline_transforms(said):
    assert said["pipeline"] > 0.95


def test_a_bad_record_fails_the_job_and_is_named(said):
    assert said["failure"].startswith("UnexpectedStatusException: Error for Transform job")
    assert "ClientError: See job logs for more information" in said["failure"] and "line 42 " in said["failure"]
    assert not said["left"]


def test_a_stopped_job_stores_nothing(said):
    assert said["stopped"] == "Stopped" and not said["left_by_stop"]
