"""Tuning jobs through boto3, on training jobs that end when the test says: limits, names, objective, counters, lists, stops, ends."""

from __future__ import annotations

import re

import pytest
from botocore.exceptions import ClientError

from modelyard.services.sagemaker.tuning_job import reconcile
from tests.support.platform import ACCOUNT
from tests.support.tuning import LOSS, SCRIPT, XGBOOST, TuningYard, categories, numbers


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    made = TuningYard(tmp_path_factory.mktemp("tuning"))
    yield made
    made.close()


def parabola(values):
    return (float(values["x"]) - 0.3) ** 2 + 1.0


def test_a_tuning_job_from_end_to_end(yard):
    arn = yard.create("Parabola", yard.config(jobs=7, parallel=3), Tags=[{"Key": "team", "Value": "blue"}])
    assert arn == f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:hyper-parameter-tuning-job/parabola"
    yard.tune()
    said = yard.describe("Parabola")
    assert said["HyperParameterTuningJobStatus"] == "InProgress"
    assert said["TrainingJobStatusCounters"] == {"Completed": 0, "InProgress": 3, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0}
    assert said["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 3, "Failed": 0}
    assert "BestTrainingJob" not in said
    end = yard.run("Parabola", parabola)
    assert end["HyperParameterTuningJobStatus"] == "Completed"
    assert end["TrainingJobStatusCounters"]["Completed"] == end["ObjectiveStatusCounters"]["Succeeded"] == 7
    assert end["HyperParameterTuningEndTime"] >= end["CreationTime"] and end["ConsumedResources"]["RuntimeInSeconds"] == 7
    rows = yard.list("Parabola")
    assert [re.fullmatch(r"Parabola-(\d{3})-[0-9a-f]{8}", row["TrainingJobName"])[1] for row in rows] == [f"{n:03d}" for n in range(1, 8)]
    best = min(rows, key=lambda row: parabola(row["TunedHyperParameters"]))
    assert end["BestTrainingJob"] == best
    assert best["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "Type": "Minimize",
        "MetricName": "loss",
        "Value": pytest.approx(parabola(best["TunedHyperParameters"])),
    }
    assert (best["TuningJobName"], best["ObjectiveStatus"], best["TrainingJobStatus"]) == ("Parabola", "Succeeded", "Completed")
    child = yard.sm.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert child["TuningJobArn"] == arn
    assert child["HyperParameters"] == {"depth": "3", "_tuning_objective_metric": "loss", **best["TunedHyperParameters"]}
    assert yard.sm.list_tags(ResourceArn=child["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "blue"}]
    assert yard.sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "blue"}]


def test_describe_has_what_sdks_read_back(yard):
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
    algorithm = {"TrainingImage": XGBOOST, "TrainingInputMode": "File"}
    objective = {"Type": "Minimize", "MetricName": "validation:merror"}
    yard.create(
        "sdk",
        yard.config(HyperParameterTuningJobObjective=objective),
        yard.definition(AlgorithmSpecification=algorithm, ResourceConfig=None, HyperParameterTuningResourceConfig=resources),
    )
    said = yard.describe("sdk")
    definition = said["TrainingJobDefinition"]
    assert definition["StaticHyperParameters"]["_tuning_objective_metric"] == "validation:merror"
    assert definition["ResourceConfig"] == definition["HyperParameterTuningResourceConfig"] == resources
    assert definition["OutputDataConfig"]["KmsKeyId"] == ""
    assert "validation:merror" in [metric["Name"] for metric in definition["AlgorithmSpecification"]["MetricDefinitions"]]
    ranges = said["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert ranges["CategoricalParameterRanges"] == ranges["IntegerParameterRanges"] == []
    assert definition["EnableManagedSpotTraining"] is False


def test_the_parallel_limit_holds_at_every_look(yard):
    yard.create("limit", yard.config(jobs=9, parallel=4, Strategy="Bayesian"))
    seen = []

    def objective(values):
        seen.append(len(yard.children("limit", running=True)))
        return parabola(values)

    end = yard.run("limit", objective)
    assert max(seen) == 4 and len(seen) == 9 and end["TrainingJobStatusCounters"]["Completed"] == 9


def test_a_maximised_objective_has_the_largest_as_best(yard):
    yard.create("most", yard.config(HyperParameterTuningJobObjective={"Type": "Maximize", "MetricName": "loss"}))
    end = yard.run("most", lambda values: float(values["x"]))
    rows = yard.list("most", SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    found = [row["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for row in rows]
    assert found == sorted(found, reverse=True) and end["BestTrainingJob"] == rows[0]


def test_trials_without_an_objective_are_counted_and_not_sorted(yard):
    yard.create("gaps", yard.config(jobs=5, parallel=1))
    ends = iter([(1.0, "Completed"), (None, "Completed"), (0.5, "Failed"), (None, "Stopped"), (2.0, "Stopped")])
    for value, status in ends:
        yard.tune()
        (child,) = yard.children("gaps", running=True)
        yard.end(child, value, status, **({"reason": "AlgorithmError: no"} if status == "Failed" else {}))
    yard.tune()
    said = yard.describe("gaps")
    assert said["HyperParameterTuningJobStatus"] == "Completed"
    assert said["TrainingJobStatusCounters"] == {"Completed": 2, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 1, "Stopped": 2}
    assert said["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 3}
    rows = yard.list("gaps", SortBy="FinalObjectiveMetricValue")
    assert [row["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for row in rows] == [1.0, 2.0]
    assert [row["TrainingJobStatus"] for row in yard.list("gaps", SortBy="Status")] == [
        "Completed",
        "Completed",
        "Failed",
        "Stopped",
        "Stopped",
    ]
    assert [row["FailureReason"] for row in yard.list("gaps", StatusEquals="Failed")] == ["AlgorithmError: no"]


def test_internal_errors_are_retryable(yard):
    yard.create("retry", yard.config(jobs=1, parallel=1))
    yard.tune()
    yard.end(yard.children("retry")[0], None, "Failed", reason="InternalServerError: the instance was lost")
    assert yard.describe("retry")["TrainingJobStatusCounters"]["RetryableError"] == 1


def test_lists_have_pages(yard):
    yard.create("pages", yard.config(jobs=5, parallel=5))
    yard.tune()
    pages = yard.sm.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName="pages", PaginationConfig={"PageSize": 2}
    )
    assert [len(page["TrainingJobSummaries"]) for page in pages] == [2, 2, 1]
    for name in ("row-a1", "row-a2", "row-b1"):
        yard.create(name)
    rows = yard.sm.list_hyper_parameter_tuning_jobs(NameContains="ROW-a", MaxResults=1)
    assert [row["HyperParameterTuningJobName"] for row in rows["HyperParameterTuningJobSummaries"]] == ["row-a1"]
    row = rows["HyperParameterTuningJobSummaries"][0]
    assert (row["Strategy"], row["HyperParameterTuningJobStatus"], row["ObjectiveStatusCounters"]["Pending"]) == ("Random", "InProgress", 0)
    again = yard.sm.list_hyper_parameter_tuning_jobs(NameContains="ROW-a", MaxResults=1, NextToken=rows["NextToken"])
    assert [row["HyperParameterTuningJobName"] for row in again["HyperParameterTuningJobSummaries"]] == ["row-a2"]
    with pytest.raises(ClientError, match="nextToken"):
        yard.sm.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="row-a1", NextToken=rows["NextToken"])


def test_stop_ends_the_training_jobs_and_keeps_what_they_found(yard):
    yard.create("stop", yard.config(jobs=9, parallel=2))
    yard.tune()
    first, _ = yard.children("stop")
    yard.end(first, 0.5)
    yard.tune()
    yard.sm.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stop")
    yard.sm.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stop")
    yard.tune()
    assert yard.describe("stop")["HyperParameterTuningJobStatus"] == "Stopping"
    running = yard.children("stop", running=True)
    assert len(running) == 2 and all(child.spec["stop"] for child in running)
    for child in running:
        yard.end(child, None, "Stopped")
    yard.tune()
    said = yard.describe("stop")
    assert said["HyperParameterTuningJobStatus"] == "Stopped" and len(yard.children("stop")) == 3
    assert said["BestTrainingJob"]["TrainingJobName"] == first.name
    with pytest.raises(ClientError, match="The request was rejected because the hyperparameter tuning job is in status Stopped"):
        yard.sm.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stop")


def test_delete_takes_the_entry_and_leaves_the_training_jobs(yard):
    yard.create("gone", yard.config(jobs=1, parallel=1))
    with pytest.raises(ClientError, match="in status InProgress"):
        yard.sm.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="gone")
    yard.run("gone", parabola)
    child = yard.children("gone")[0]
    yard.sm.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="gone")
    with pytest.raises(ClientError) as problem:
        yard.describe("gone")
    assert problem.value.response["Error"] == {
        "Code": "ResourceNotFound",
        "Message": "Amazon SageMaker can't find a tuning job called gone. Type another name.",
    }
    assert yard.sm.describe_training_job(TrainingJobName=child.name)["TrainingJobStatus"] == "Completed"
    yard.create("gone")


# --- ends ------------------------------------------------------------------------------------------


def test_five_failures_end_it(yard):
    yard.create("bad", yard.config(jobs=20, parallel=2))
    for _ in range(5):
        yard.tune()
        yard.end(yard.children("bad", running=True)[0], None, "Failed", reason="AlgorithmError: x")
    yard.tune()
    (left,) = yard.children("bad", running=True)
    assert left.spec["stop"], "what still runs is stopped first"
    yard.end(left, None, "Stopped")
    yard.tune()
    said = yard.describe("bad")
    assert said["HyperParameterTuningJobStatus"] == "Failed"
    assert said["FailureReason"] == (
        "No training job succeeded after 5 attempts. For additional details, please take a look at the training job failures by listing "
        "training jobs for the hyperparameter tuning job."
    )
    assert len(yard.children("bad")) == 6


def test_five_without_a_metric_end_it(yard):
    yard.create("silent", yard.config(jobs=20, parallel=1))
    said = yard.run("silent", lambda values: None)
    assert said["HyperParameterTuningJobStatus"] == "Failed"
    assert said["FailureReason"].startswith("No objective metrics found after running 5 training jobs. Please ensure")


def test_a_target_ends_it(yard):
    yard.create("target", yard.config(jobs=50, parallel=3, TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 1.01}))
    said = yard.run("target", parabola)
    assert said["HyperParameterTuningJobStatus"] == "Completed"
    found = [row for row in yard.list("target") if row.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value", 9) <= 1.01]
    assert len(found) == 1 and len(yard.list("target")) < 50
    assert said["TrainingJobStatusCounters"]["Stopped"] == 2


def test_no_improvement_ends_it(yard):
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 4}}
    yard.create("flat", yard.config(jobs=50, parallel=1, TuningJobCompletionCriteria=criteria))
    values = iter([10.0, 5.0, 4.96, 4.0, 3.99, 5.0, 3.98, 7.0, 1.0])
    said = yard.run("flat", lambda _: next(values))
    assert said["TrainingJobStatusCounters"]["Completed"] == 8
    assert said["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] == 4


def test_convergence_ends_it_where_it_is_asked_for(yard):
    for name, mode in (("seen", "Disabled"), ("ended", "Enabled")):
        criteria = {"ConvergenceDetected": {"CompleteOnConvergence": mode}}
        yard.create(name, yard.config(jobs=30, parallel=1, TuningJobCompletionCriteria=criteria))
        said = yard.run(name, lambda _: 1.0)
        assert "ConvergenceDetectedTime" in said["TuningJobCompletionDetails"]
        assert said["TrainingJobStatusCounters"]["Completed"] == (30 if mode == "Disabled" else 20)


def test_the_runtime_ends_it_in_real_time(yard, monkeypatch):
    real = [1000.0]
    monkeypatch.setattr(reconcile, "real_now", lambda: real[0])
    config = yard.config(jobs=None, parallel=1)
    config["ResourceLimits"]["MaxRuntimeInSeconds"] = 120
    yard.create("slow", config)
    yard.tune()
    yard.end(yard.children("slow")[0], 1.0)
    yard.clock.advance(10_000)
    yard.tune()
    assert len(yard.children("slow")) == 2, "a fast platform clock does not count"
    real[0] += 121
    yard.clock.advance(1.0)
    yard.end(yard.children("slow", running=True)[0], 2.0)
    yard.tune()
    assert yard.describe("slow")["HyperParameterTuningJobStatus"] == "Completed"
    assert len(yard.children("slow")) == 2


def test_a_role_that_is_gone_ends_it_with_its_reason(yard, monkeypatch):
    def refuse(*_):
        from modelyard.kernel.errors import validation

        raise validation("the role is gone")

    monkeypatch.setattr(reconcile, "create_child", refuse)
    yard.create("role")
    yard.tune()
    said = yard.describe("role")
    assert (said["HyperParameterTuningJobStatus"], said["FailureReason"]) == ("Failed", "ClientError: the role is gone")


# --- strategies ------------------------------------------------------------------------------------


def test_a_grid_tries_each_combination_once(yard):
    ranges = categories(a=["1", "2", "3"], b=["u", "v"])
    yard.create("grid", yard.config(jobs=None, parallel=4, Strategy="Grid", ParameterRanges=ranges))
    yard.run("grid", lambda values: float(values["a"]))
    tried = {(row["TunedHyperParameters"]["a"], row["TunedHyperParameters"]["b"]) for row in yard.list("grid")}
    assert tried == {(a, b) for a in "123" for b in "uv"} and len(yard.list("grid")) == 6


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_a_random_seed_gives_the_same_values_again(yard, strategy):
    tried = []
    for name in (f"{strategy}-1", f"{strategy}-2"):
        yard.create(name, yard.config(jobs=8, parallel=1, Strategy=strategy, RandomSeed=7))
        yard.run(name, parabola)
        tried.append([row["TunedHyperParameters"] for row in yard.list(name)])
    assert tried[0] == tried[1] and len({row["x"] for row in tried[0]}) == 8
    yard.create(f"{strategy}-3", yard.config(jobs=8, parallel=1, Strategy=strategy))
    yard.run(f"{strategy}-3", parabola)
    assert [row["TunedHyperParameters"] for row in yard.list(f"{strategy}-3")] != tried[0]


def test_hyperband_stops_what_is_behind_and_what_has_had_all(yard, monkeypatch):
    strategy = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}
    monkeypatch.setattr(reconcile.Curves, "read", lambda self, child, world: [])
    yard.create("band", yard.config(jobs=4, parallel=4, Strategy="Hyperband", StrategyConfig=strategy))
    yard.tune()
    told = {child.uid: [float(n)] for n, child in enumerate(yard.children("band"))}
    monkeypatch.setattr(reconcile.Curves, "read", lambda self, child, world: told[child.uid])
    yard.tune()
    # Number 3 is of the bracket that begins at the second rung.
    assert [bool(child.spec.get("stop")) for child in yard.children("band")] == [False, True, False, True]
    first = yard.children("band")[0]
    told[first.uid] = [float(n) for n in range(9)]
    yard.clock.advance(1.0)
    yard.tune()
    assert yard.platform.store.by_uid(first.uid).spec["stop"]


def test_early_stopping_is_awss_median_rule(yard, monkeypatch):
    yard.create("early", yard.config(jobs=6, parallel=2, TrainingJobEarlyStoppingType="Auto"))
    monkeypatch.setattr(reconcile.Curves, "read", lambda self, child, world: [])
    for level in (1.0, 2.0, 3.0):
        yard.tune()
        yard.end(yard.children("early", running=True)[0], level, curve=[level + 1, level])
    yard.tune()
    good, bad = yard.children("early", running=True)
    # The medians of the running averages: 3.0 after one step, 2.5 after two.
    told = {good.uid: [2.9], bad.uid: [2.9, 2.6]}
    monkeypatch.setattr(reconcile.Curves, "read", lambda self, child, world: told.get(child.uid, []))
    yard.tune()
    assert [bool(yard.platform.store.by_uid(child.uid).spec.get("stop")) for child in (good, bad)] == [False, True]
    yard.end(bad, 2.6, "Stopped")
    yard.tune()
    row = yard.list("early", StatusEquals="Stopped")[0]
    assert row["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 2.6 and row["ObjectiveStatus"] == "Succeeded"


# --- several definitions, warm start, autotune ------------------------------------------------------


def test_several_definitions_share_the_limits(yard):
    objective = {"Type": "Minimize", "MetricName": "loss"}
    one = yard.definition(DefinitionName="one", TuningObjective=objective, HyperParameterRanges=numbers(x=(0, 1)))
    two = yard.definition(
        DefinitionName="two", TuningObjective=objective, HyperParameterRanges=numbers(y=(5, 6)), StaticHyperParameters=None
    )
    yard.sm.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="both",
        HyperParameterTuningJobConfig=yard.config(
            HyperParameterTuningJobObjective=None, ParameterRanges=None, Strategy="Bayesian", jobs=10
        ),
        TrainingJobDefinitions=[one, two],
    )
    said = yard.run("both", lambda values: float(values.get("x", values.get("y"))))
    rows = yard.list("both")
    assert [row["TrainingJobDefinitionName"] for row in rows] == ["one", "two"] * 5
    assert [list(row["TunedHyperParameters"]) for row in rows] == [["x"], ["y"]] * 5
    assert said["BestTrainingJob"]["TrainingJobDefinitionName"] == "one"
    assert [d["DefinitionName"] for d in said["TrainingJobDefinitions"]] == ["one", "two"] and "TrainingJobDefinition" not in said
    assert said["TrainingJobDefinitions"][1]["StaticHyperParameters"] == {"_tuning_objective_metric": "loss"}


@pytest.mark.parametrize("kind", ["IdenticalDataAndAlgorithm", "TransferLearning"])
def test_a_warm_start_begins_where_its_parent_ended(yard, kind):
    parent, child = f"parent-{kind[:5]}", f"child-{kind[:5]}"
    bayesian = {"Strategy": "Bayesian", "RandomSeed": 3, "ParameterRanges": numbers(x=(0, 1), z=(0, 1))}
    yard.create(parent, yard.config(jobs=12, parallel=1, **bayesian))
    yard.run(parent, parabola)
    warm = {"ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": parent}], "WarmStartType": kind}
    yard.create(child, yard.config(jobs=2, parallel=1, **{**bayesian, "RandomSeed": 4}), WarmStartConfig=warm)
    shift = 0.0 if kind.startswith("Identical") else 50.0
    said = yard.run(child, lambda values: parabola(values) + shift)
    first = yard.list(child)[0]["TunedHyperParameters"]
    assert abs(float(first["x"]) - 0.3) < 0.15, "the first guess of a cold start would be anywhere"
    assert said["WarmStartConfig"] == warm
    if kind.startswith("Identical"):
        rows = yard.list(parent) + yard.list(child)
        best = min(rows, key=lambda row: row["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])
        assert said["OverallBestTrainingJob"] == best
    else:
        assert "OverallBestTrainingJob" not in said


def test_autotune_fills_in_what_is_not_given(yard):
    hints = {
        "AutoParameters": [
            {"Name": "lr", "ValueHint": "0.01"},
            {"Name": "trees", "ValueHint": "40"},
            {"Name": "bootstrap", "ValueHint": "true"},
        ]
    }
    yard.create("auto", yard.config(jobs=None, ParameterRanges=hints), Autotune={"Mode": "Enabled"})
    said = yard.describe("auto")
    config = said["HyperParameterTuningJobConfig"]
    assert said["Autotune"] == {"Mode": "Enabled"}
    assert config["ParameterRanges"]["ContinuousParameterRanges"] == [
        {"Name": "lr", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
    ]
    assert config["ParameterRanges"]["IntegerParameterRanges"] == [
        {"Name": "trees", "MinValue": "10", "MaxValue": "160", "ScalingType": "Logarithmic"}
    ]
    assert config["ParameterRanges"]["CategoricalParameterRanges"] == [{"Name": "bootstrap", "Values": ["true", "false"]}]
    assert config["ParameterRanges"]["AutoParameters"] == hints["AutoParameters"]
    assert (config["ResourceLimits"]["MaxNumberOfTrainingJobs"], config["TrainingJobEarlyStoppingType"]) == (50, "Auto")
    assert said["TrainingJobDefinition"]["RetryStrategy"] == {"MaximumRetryAttempts": 3}
    yard.tune()
    values = yard.list("auto")[0]["TunedHyperParameters"]
    assert set(values) == {"lr", "trees", "bootstrap"} and 0.001 <= float(values["lr"]) <= 0.1
    xgboost = yard.definition(
        AlgorithmSpecification={"TrainingImage": XGBOOST, "TrainingInputMode": "File"}, StaticHyperParameters={"eta": "0.2"}
    )
    objective = {"Type": "Maximize", "MetricName": "validation:auc"}
    yard.create(
        "boost", yard.config(ParameterRanges=None, HyperParameterTuningJobObjective=objective), xgboost, Autotune={"Mode": "Enabled"}
    )
    names = {r["Name"] for r in yard.describe("boost")["HyperParameterTuningJobConfig"]["ParameterRanges"]["ContinuousParameterRanges"]}
    assert {"subsample", "gamma"} < names and "eta" not in names


def test_checkpoints_environment_and_retries_reach_each_trial(yard):
    definition = yard.definition(
        Environment={"COLOUR": "green"}, RetryStrategy={"MaximumRetryAttempts": 2}, CheckpointConfig={"S3Uri": "s3://bucket/points/"}
    )
    yard.create("passed", yard.config(jobs=1, parallel=1), definition)
    yard.tune()
    (child,) = yard.children("passed")
    said = yard.sm.describe_training_job(TrainingJobName=child.name)
    assert (said["Environment"], said["RetryStrategy"]) == ({"COLOUR": "green"}, {"MaximumRetryAttempts": 2})
    assert said["CheckpointConfig"]["S3Uri"] == f"s3://bucket/points/{child.name}"


def test_a_name_that_a_training_job_has_is_passed_over(yard):
    yard.create("twin", yard.config(jobs=1, parallel=1))
    job = yard.platform.store.get("tuning-job", ACCOUNT, "us-east-1", "twin")
    taken = reconcile.trial_name(job, 1)
    yard.sm.create_training_job(
        TrainingJobName=taken,
        AlgorithmSpecification={"TrainingImage": SCRIPT, "TrainingInputMode": "File", "MetricDefinitions": LOSS},
        RoleArn=yard.role,
        OutputDataConfig={"S3OutputPath": "s3://bucket/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    yard.tune()
    (child,) = yard.children("twin")
    assert child.name != taken and child.name.startswith("twin-001-")


def test_search_finds_tuning_jobs_and_their_training_jobs(yard):
    arn = yard.create("searched", yard.config(jobs=2, parallel=1))
    yard.run("searched", parabola)
    name = {"Name": "HyperParameterTuningJobName", "Operator": "Equals", "Value": "searched"}
    (hit,) = yard.sm.search(Resource="HyperParameterTuningJob", SearchExpression={"Filters": [name]})["Results"]
    found = hit["HyperParameterTuningJob"]
    assert (found["HyperParameterTuningJobArn"], found["HyperParameterTuningJobStatus"]) == (arn, "Completed")
    assert found["BestTrainingJob"]["TrainingJobName"].startswith("searched-")
    of = {"Name": "TuningJobArn", "Operator": "Equals", "Value": arn}
    assert len(yard.sm.search(Resource="TrainingJob", SearchExpression={"Filters": [of]})["Results"]) == 2
