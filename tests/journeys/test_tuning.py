"""The tuning lab of the warm-up with SDK v2, SDK v3's tuner, and the AWS CLI's view of both."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.journeys.conftest import HERE, wait
from tests.journeys.jobs import BUCKET, SKLEARN, archive, model_file, role_of
from tests.support.patience import SLOWNESS

SORTED = ["--sort-by", "FinalObjectiveMetricValue", "--max-results", "1"]


@pytest.fixture(scope="module")
def lab(yard):
    return yard.python("client-sdk2", "sdk2_tuner.py", timeout=290)


def test_twenty_jobs_four_at_a_time_in_a_minute(lab):
    assert (lab["status"], lab["counters"]["Completed"], lab["objectives"]["Succeeded"]) == ("Completed", 20, 20)
    assert 1 <= lab["most"] <= 4
    assert lab["seconds"] < 60 * SLOWNESS


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


@pytest.fixture(scope="module")
def v3(yard):
    return yard.python("client-sdk3", "sdk3_tuner.py", str(HERE / "code/v3"), timeout=290)


@pytest.mark.parametrize(("name", "tuned"), [("script", {"rate"}), ("built-in", {"max_depth", "eta"})])
def test_the_tuner_of_sdk_v3(v3, name, tuned):
    said = v3[name]
    assert (said["status"], said["counters"]["Completed"]) == ("Completed", 4)
    values = {job["TrainingJobName"]: job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for job in said["jobs"]}
    assert values[said["best"]] == min(values.values())
    assert all(set(job["TunedHyperParameters"]) == tuned for job in said["jobs"])


def test_the_cli_sees_the_same(yard, lab):
    words = ["env", f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}", "aws", "sagemaker"]
    name = ["--hyper-parameter-tuning-job-name", lab["name"]]
    (first,) = json.loads(yard.run(*words, "list-training-jobs-for-hyper-parameter-tuning-job", *name, *SORTED).stdout)[
        "TrainingJobSummaries"
    ]
    assert first["TrainingJobName"] == lab["first"] == lab["best"]
    said = json.loads(yard.run(*words, "describe-hyper-parameter-tuning-job", *name).stdout)
    assert said["BestTrainingJob"]["TrainingJobName"] == lab["best"]


@pytest.mark.parametrize("strategy", ["Random", "Hyperband"])
def test_slow_trials_are_stopped_early_over_a_killed_engine(yard, strategy):
    """Early stopping and Hyperband on logs that grow; the engine dies in the middle, and no trial is lost or made twice."""
    s3, sagemaker, name, epochs = yard.client("s3"), yard.client("sagemaker"), f"slow-{strategy.lower()}", 40
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=f"{name}/sourcedir.tar.gz", Body=archive(HERE / "code" / "curve"))
    static = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"s3://{BUCKET}/{name}/sourcedir.tar.gz", "epochs": epochs}
    more = {"TrainingJobEarlyStoppingType": "Auto"} if strategy == "Random" else {}
    sagemaker.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig={
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 8, "MaxParallelTrainingJobs": 4},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "level", "MinValue": "0", "MaxValue": "10"}]},
            "RandomSeed": 11,  # the good ones come first
            **more,
        },
        TrainingJobDefinition={
            "StaticHyperParameters": {key: json.dumps(value) for key, value in static.items()},
            "AlgorithmSpecification": {
                "TrainingImage": SKLEARN,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+);"}],
            },
            "RoleArn": role_of(yard),
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/output"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    )

    def seen():
        return sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)

    wait(lambda: seen()["TrainingJobStatusCounters"]["InProgress"] >= 2, 60)
    engine = next(process["pid"] for process in yard.status()["processes"] if process["role"] == "engine")
    os.kill(engine, signal.SIGKILL)
    said = wait(lambda: (now := seen())["HyperParameterTuningJobStatus"] != "InProgress" and now, 250, 0.5)
    rows = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, MaxResults=100)[
        "TrainingJobSummaries"
    ]
    assert said["HyperParameterTuningJobStatus"] == "Completed"
    assert [row["TrainingJobName"].split("-")[2] for row in rows] == [f"{n:03d}" for n in range(1, 9)]
    assert len({row["TunedHyperParameters"]["level"] for row in rows}) == 8
    stopped = [row for row in rows if row["TrainingJobStatus"] == "Stopped"]
    assert stopped and said["TrainingJobStatusCounters"]["Stopped"] == len(stopped)
    best = min(rows, key=lambda row: float(row["TunedHyperParameters"]["level"]))
    assert said["BestTrainingJob"]["TrainingJobName"] == best["TrainingJobName"]
    assert all(row["ObjectiveStatus"] == "Succeeded" for row in rows), "a stopped trial has the objective it came to"
    last = sagemaker.describe_training_job(TrainingJobName=stopped[-1]["TrainingJobName"])
    assert 1 <= int(model_file(yard, last, "step")) < epochs, "what it had done is kept"
