"""The tuning lab of the warm-up with SDK v2, SDK v3's tuner, and the AWS CLI's view of both."""

import pytest


@pytest.fixture(scope="module")
def lab(yard):
    return yard.python("client-sdk2", "sdk2_tuner.py", timeout=290)


def test_twenty_jobs_four_at_a_time_in_a_minute(lab):
    assert (lab["status"], lab["counters"]["Completed"], lab["objectives"]["Succeeded"]) == ("Completed", 20, 20)
    assert 1 <= lab["most"] <= 4
    assert lab["seconds"] < 60


def test_the_best_is_really_the_best(lab):
    assert len(lab["values"]) == 20 and lab["values"] == sorted(lab["values"])
    assert lab["values"][0] == lab["frame_best"]
    assert lab["values"][0] <= 0.1 and lab["right"] >= 0.9, "the best model answers as its metric says"


def test_analytics(lab):
    assert lab["rows"] == 20
    expected = {
        "TrainingJobName",
        "TrainingJobStatus",
        "FinalObjectiveValue",
        "TrainingStartTime",
        "TrainingEndTime",
        "TrainingElapsedTimeSeconds",
    }
    assert expected | {"eta", "max_depth", "alpha", "gamma", "min_child_weight"} <= set(lab["columns"])
    assert lab["tags"] == [{"Key": "lab", "Value": "warm-up"}]


def test_warm_start(lab):
    assert lab["warm"]["counters"]["Completed"] == 2
    assert lab["warm"]["config"]["WarmStartType"] == "IdenticalDataAndAlgorithm"
    overall = lab["warm"]["overall"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    assert overall <= lab["values"][0]


def test_several_estimators(lab):
    assert lab["several"] == {
        "counters": {"Completed": 4, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0},
        "definitions": ["deep", "shallow"],
    }
