"""Experiments, trials, components, their metrics and Search by an unmodified boto3 client."""

from __future__ import annotations

import math
import time

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.store import Step
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE, moved
from tests.support.platform import ACCOUNT

PREFIX = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"


@pytest.fixture
def clock():
    return ManualClock(1_700_000_000.0)


@pytest.fixture
def sm(yard):
    return yard.client("sagemaker")


@pytest.fixture
def metrics(yard):
    return yard.client("sagemaker-metrics")


def refused(function, **request):
    with pytest.raises(ClientError) as caught:
        function(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def found(sm, resource="ExperimentTrialComponent", *, filters=None, **more):
    """Names of the hits, in order."""
    member = {"ExperimentTrialComponent": "TrialComponent", "ExperimentTrial": "Trial"}.get(resource, resource)
    expression = {"SearchExpression": {"Filters": filters}} if filters else {}
    results = sm.search(Resource=resource, **expression, **more)["Results"]
    return [hit[member][f"{member}Name"] for hit in results]


def where(name, value, operator="Equals"):
    return {"Name": name, "Operator": operator, "Value": value}


# --- the three of them ---------------------------------------------------------------------------


def test_experiments(sm):
    arn = sm.create_experiment(ExperimentName="Churn", Description="who leaves", Tags=[{"Key": "k", "Value": "v"}])["ExperimentArn"]
    assert arn == f"{PREFIX}experiment/churn"
    there = sm.describe_experiment(ExperimentName="Churn")
    assert (there["DisplayName"], there["Description"], there["ExperimentArn"]) == ("Churn", "who leaves", arn)
    assert refused(sm.create_experiment, ExperimentName="Churn") == (
        "ValidationException",
        "Experiment names must be unique within an AWS account and region. Experiment with name (Churn) already exists.",
    )
    assert refused(sm.describe_experiment, ExperimentName="none") == (
        "ResourceNotFound",
        f"Experiment '{PREFIX}experiment/none' does not exist.",
    )
    assert sm.update_experiment(ExperimentName="Churn", DisplayName="Shown")["ExperimentArn"] == arn
    assert sm.describe_experiment(ExperimentName="Churn")["DisplayName"] == "Shown"
    assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]
    sm.create_trial(TrialName="one", ExperimentName="Churn")
    assert "still has trials" in refused(sm.delete_experiment, ExperimentName="Churn")[1]
    sm.delete_trial(TrialName="one")
    assert sm.delete_experiment(ExperimentName="Churn")["ExperimentArn"] == arn
    assert refused(sm.delete_experiment, ExperimentName="Churn")[0] == "ResourceNotFound"


def test_trials_and_their_components(yard, sm):
    sm.create_experiment(ExperimentName="e")
    assert refused(sm.create_trial, TrialName="t", ExperimentName="none")[0] == "ResourceNotFound"
    trial = sm.create_trial(TrialName="T", ExperimentName="E", MetadataProperties={"CommitId": "c"})["TrialArn"]
    assert trial == f"{PREFIX}experiment-trial/t"
    there = sm.describe_trial(TrialName="T")
    assert there["ExperimentName"] == "e" and there["MetadataProperties"] == {"CommitId": "c"}
    assert "already exists" in refused(sm.create_trial, TrialName="T", ExperimentName="e")[1]
    component = sm.create_trial_component(TrialComponentName="c")["TrialComponentArn"]
    for _ in range(2):
        answer = sm.associate_trial_component(TrialName="T", TrialComponentName="c")
        assert (answer["TrialComponentArn"], answer["TrialArn"]) == (component, trial)
    assert [c["TrialComponentName"] for c in sm.list_trial_components(TrialName="T")["TrialComponentSummaries"]] == ["c"]
    assert [c["TrialComponentName"] for c in sm.list_trial_components(ExperimentName="e")["TrialComponentSummaries"]] == ["c"]
    assert [t["TrialName"] for t in sm.list_trials(TrialComponentName="c")["TrialSummaries"]] == ["T"]
    assert [t["TrialName"] for t in sm.list_trials(ExperimentName="e")["TrialSummaries"]] == ["T"]
    assert "disassociate" in refused(sm.delete_trial_component, TrialComponentName="c")[1]
    assert "still has 1 trial components" in refused(sm.delete_trial, TrialName="T")[1]
    sm.disassociate_trial_component(TrialName="T", TrialComponentName="c")
    assert refused(sm.disassociate_trial_component, TrialName="T", TrialComponentName="c")[0] == "ResourceNotFound"
    sm.delete_trial_component(TrialComponentName="c")
    sm.delete_trial(TrialName="T")
    code, text = refused(sm.list_trial_components, TrialName="T", ExperimentName="e")
    assert code == "ValidationException" and "at a time" in text


def test_lists_are_paged_sorted_and_cut_by_time(yard, sm):
    sm.create_experiment(ExperimentName="e")
    sm.create_trial(TrialName="t", ExperimentName="e")
    for name in ("b", "a", "c"):
        sm.create_trial_component(TrialComponentName=name)
        sm.associate_trial_component(TrialName="t", TrialComponentName=name)
        yard.platform.clock.advance(10)

    def listed(**more):
        pages = sm.get_paginator("list_trial_components").paginate(**more, PaginationConfig={"PageSize": 2})
        return [c["TrialComponentName"] for page in pages for c in page["TrialComponentSummaries"]]

    for scope in ({}, {"TrialName": "t"}):
        assert listed(**scope) == ["c", "a", "b"]
        assert listed(SortBy="Name", SortOrder="Ascending", **scope) == ["a", "b", "c"]
        assert listed(CreatedAfter=1_700_000_005.0, **scope) == ["c", "a"]
    assert "oken" in refused(sm.list_trial_components, TrialName="t", NextToken="bm9wZQ==")[1]


def test_components_are_merged(sm):
    sm.create_trial_component(
        TrialComponentName="Run", DisplayName="shown", Status={"PrimaryStatus": "InProgress"}, StartTime=1_700_000_000.0,
        Parameters={"lr": {"NumberValue": 0.1}, "opt": {"StringValue": "sgd"}}, InputArtifacts={"in": {"Value": "s3://b/in", "MediaType": "text/csv"}},
    )  # fmt: skip
    sm.update_trial_component(
        TrialComponentName="Run", Status={"PrimaryStatus": "Completed", "Message": "done"}, EndTime=1_700_000_060.0,
        Parameters={"lr": {"NumberValue": 0.2}, "depth": {"NumberValue": 3.0}}, ParametersToRemove=["opt"],
        OutputArtifacts={"model": {"Value": "s3://b/out"}}, InputArtifactsToRemove=["in"],
    )  # fmt: skip
    there = sm.describe_trial_component(TrialComponentName=f"{PREFIX}experiment-trial-component/run")
    assert there["Parameters"] == {"lr": {"NumberValue": 0.2}, "depth": {"NumberValue": 3.0}}
    assert there["InputArtifacts"] == {} and there["OutputArtifacts"] == {"model": {"Value": "s3://b/out"}}
    assert there["Status"] == {"PrimaryStatus": "Completed", "Message": "done"} and there["DisplayName"] == "shown"
    assert there["EndTime"].timestamp() == 1_700_000_060.0 and there["Metrics"] == []
    assert "exactly one" in refused(sm.update_trial_component, TrialComponentName="Run", Parameters={"x": {}})[1]
    many = {f"p{n}": {"NumberValue": 1.0} for n in range(299)}
    assert "at most 300 Parameters" in refused(sm.update_trial_component, TrialComponentName="Run", Parameters=many)[1]
    assert refused(sm.update_trial_component, TrialComponentName="none")[0] == "ResourceNotFound"


# --- metrics -------------------------------------------------------------------------------------


def put(metrics, component, *values, name="loss", start=0):
    data = [{"MetricName": name, "Timestamp": 1_700_000_000 + 30 * n, "Step": start + n, "Value": v} for n, v in enumerate(values)]
    return metrics.batch_put_metrics(TrialComponentName=component, MetricData=data)


def test_metrics_are_summed_up_and_read_back(sm, metrics):
    sm.create_trial_component(TrialComponentName="Run")
    assert "Errors" not in put(metrics, "run", 4.0, 2.0, 3.0)
    put(metrics, "run", 0.5, name="acc")
    acc, loss = sm.describe_trial_component(TrialComponentName="Run")["Metrics"]
    assert (acc["MetricName"], acc["Last"], acc["Count"], acc["StdDev"]) == ("acc", 0.5, 1, 0.0)
    assert (loss["Min"], loss["Max"], loss["Last"], loss["Count"], loss["Avg"]) == (2.0, 4.0, 3.0, 3, 3.0)
    assert loss["StdDev"] == pytest.approx(math.sqrt(2 / 3)) and loss["TimeStamp"].timestamp() == 1_700_000_060
    assert loss["SourceArn"] == f"{PREFIX}experiment-trial-component/run"
    query = {"MetricName": "loss", "ResourceArn": f"{PREFIX}experiment-trial-component/run", "MetricStat": "Avg"}
    by_step = query | {"Period": "IterationNumber", "XAxisType": "IterationNumber"}
    answers = metrics.batch_get_metrics(
        MetricQueries=[
            by_step,
            query | {"Period": "OneMinute", "XAxisType": "Timestamp"},
            by_step | {"Start": 1, "End": 1},
            by_step | {"ResourceArn": f"{PREFIX}experiment-trial-component/none"},
            by_step | {"Period": "OneHour"},
        ]
    )["MetricQueryResults"]
    assert [a["Status"] for a in answers] == ["Complete"] * 3 + ["ValidationError"] * 2
    assert (answers[0]["XAxisValues"], answers[0]["MetricValues"]) == ([0, 1, 2], [4.0, 2.0, 3.0])
    assert (answers[1]["XAxisValues"], answers[1]["MetricValues"]) == ([1_699_999_980, 1_700_000_040], [3.0, 3.0])
    assert answers[2]["MetricValues"] == [2.0]


def test_bad_points_are_told_and_the_rest_kept(sm, metrics):
    sm.create_trial_component(TrialComponentName="run")
    assert put(metrics, "run", 1.0, math.nan, 2.0)["Errors"] == [{"Code": "VALIDATION_ERROR", "MetricIndex": 1}]
    assert sm.describe_trial_component(TrialComponentName="run")["Metrics"][0]["Count"] == 2
    assert refused(metrics.batch_put_metrics, TrialComponentName="none", MetricData=[{"MetricName": "x", "Timestamp": 1, "Value": 1.0}])[
        0
    ] == ("ResourceNotFound")


# --- search --------------------------------------------------------------------------------------


@pytest.fixture
def runs(yard, sm, metrics):
    """Three runs of one experiment and one that belongs to none."""
    sm.create_experiment(ExperimentName="e")
    sm.create_trial(TrialName="t", ExperimentName="e")
    for n, name in enumerate(("one", "two", "three", "alone")):
        sm.create_trial_component(
            TrialComponentName=name, Parameters={"lr": {"NumberValue": 0.1 * (n + 1)}, "net.kind": {"StringValue": "deep" if n % 2 else "wide"}},
            Tags=[{"Key": "team", "Value": "red" if n < 2 else "blue"}],
        )  # fmt: skip
        if name != "alone":
            sm.associate_trial_component(TrialName="t", TrialComponentName=name)
            put(metrics, name, 5.0, float(n), name="test:loss")
        yard.platform.clock.advance(10)


def test_search_of_components(sm, runs):
    assert found(sm) == ["alone", "three", "two", "one"]
    assert found(sm, SortBy="CreationTime", SortOrder="Ascending", MaxResults=2) == ["one", "two"]
    assert found(sm, filters=[where("Parents.ExperimentName", "e")], SortBy="TrialComponentName", SortOrder="Ascending") == [
        "one",
        "three",
        "two",
    ]
    assert found(sm, filters=[where("parameters.lr.numbervalue", "0.25", "GreaterThan")], SortOrder="Ascending") == ["three", "alone"]
    assert found(sm, filters=[where("Parameters.net.kind.StringValue", "deep")]) == ["alone", "two"]
    assert found(sm, filters=[where("Tags.team", "red"), where("Metrics.test:loss.last", "0.5", "LessThan")]) == ["one"]
    assert found(sm, filters=[where("Metrics.test:loss.max", "5", "GreaterThanOrEqualTo")], SortBy="metrics.test:loss.min") == [
        "three",
        "two",
        "one",
    ]
    assert found(sm, SortBy="Metrics.test:loss.last", SortOrder="Ascending") == ["one", "two", "three", "alone"]
    assert found(sm, SortBy="metrics.test:loss.max", SortOrder="Descending", MaxResults=3)[-1:] != ["alone"]
    assert found(sm, filters=[{"Name": "Metrics.test:loss", "Operator": "NotExists"}]) == ["alone"]
    assert found(sm, filters=[where("TrialComponentName", "THREE")]) == ["three"]


def test_search_pages_and_counts(sm, runs):
    for more in (
        {},
        {"SearchExpression": {"Filters": [where("TrialComponentName", "o", "Contains")]}},
        {"SortBy": "Metrics.test:loss.last"},
    ):
        request = {"Resource": "ExperimentTrialComponent", "MaxResults": 1, **more}
        seen, answer = [], sm.search(**request)
        total = answer["TotalHits"]
        while True:
            seen += [hit["TrialComponent"]["TrialComponentName"] for hit in answer["Results"]]
            if "NextToken" not in answer:
                break
            answer = sm.search(NextToken=answer["NextToken"], **request)
        assert len(seen) == len(set(seen)) == total["Value"] == (3 if "SearchExpression" in more else 4)
    token = sm.search(Resource="ExperimentTrialComponent", MaxResults=1)["NextToken"]
    assert "belongs to another request" in refused(sm.search, Resource="Experiment", NextToken=token)[1]


def test_search_shows_what_belongs_together(sm, runs):
    hit = sm.search(Resource="ExperimentTrialComponent", SearchExpression={"Filters": [where("TrialComponentName", "one")]})["Results"][0]
    component = hit["TrialComponent"]
    assert component["Parents"] == [{"TrialName": "t", "ExperimentName": "e"}] and component["Tags"] == [{"Key": "team", "Value": "red"}]
    assert component["Metrics"][0]["Last"] == 0.0
    trial = sm.search(Resource="ExperimentTrial")["Results"][0]["Trial"]
    assert sorted(c["TrialComponentName"] for c in trial["TrialComponentSummaries"]) == ["one", "three", "two"]
    assert found(sm, "Experiment", filters=[where("ExperimentName", "e")]) == ["e"]


def test_nested_and_sub_expressions(sm, runs):
    nested = {"NestedPropertyName": "Parents", "Filters": [where("Parents.TrialName", "t"), where("Parents.ExperimentName", "e")]}
    either = {"Operator": "Or", "Filters": [where("TrialComponentName", "one"), where("TrialComponentName", "alone")]}
    hits = sm.search(Resource="ExperimentTrialComponent", SearchExpression={"NestedFilters": [nested], "SubExpressions": [either]})
    assert [h["TrialComponent"]["TrialComponentName"] for h in hits["Results"]] == ["one"]
    assert "needs a Value" in refused(sm.search, Resource="Experiment", SearchExpression={"Filters": [{"Name": "x"}]})[1]


def test_search_of_the_registry_and_of_models(yard, sm):
    group = sm.create_model_package_group(ModelPackageGroupName="Churn", Tags=[{"Key": "team", "Value": "red"}])["ModelPackageGroupArn"]
    spec = {"Containers": [{"Image": IMAGE}]}
    for approval in ("Approved", "Rejected"):
        sm.create_model_package(ModelPackageGroupName="Churn", InferenceSpecification=spec, ModelApprovalStatus=approval)
    search = {
        "Resource": "ModelPackage",
        "SearchExpression": {"Filters": [where("ModelApprovalStatus", "Approved"), where("Tags.team", "red")]},
    }
    (hit,) = sm.search(**search)["Results"]
    assert hit["ModelPackage"]["ModelPackageVersion"] == 1 and hit["ModelPackage"]["Tags"] == [{"Key": "team", "Value": "red"}]
    (hit,) = sm.search(Resource="ModelPackageGroup", SearchExpression={"Filters": [where("ModelPackageGroupName", "Churn")]})["Results"]
    assert hit["ModelPackageGroup"]["ModelPackageGroupArn"] == group
    role = f"arn:aws:iam::{ACCOUNT}:role/" + yard.client("sts").get_caller_identity()["Arn"].split("/")[1]
    sm.create_model(ModelName="m", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=role)
    assert sm.search(Resource="Model")["Results"][0]["Model"]["Model"]["ModelName"] == "m"
    assert sm.search(Resource="Pipeline")["TotalHits"]["Value"] == 0


def test_suggestions(sm, runs):
    def said(hint, resource="ExperimentTrialComponent"):
        query = {"PropertyNameQuery": {"PropertyNameHint": hint}}
        return [s["PropertyName"] for s in sm.get_search_suggestions(Resource=resource, SuggestionQuery=query)["PropertyNameSuggestions"]]

    assert "Parameters.lr.NumberValue" in said("Parameters.") and "Metrics.test:loss.max" in said("metrics.test")
    assert said("Tags.te") == ["Tags.team"] and "TrainingJobName" in said("training", "TrainingJob") and said("no such thing") == []


# --- what jobs get by themselves -----------------------------------------------------------------


@pytest.fixture
def jobs(yard, sm):
    role = f"arn:aws:iam::{ACCOUNT}:role/" + yard.client("sts").get_caller_identity()["Arn"].split("/")[1]
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="train/x.csv", Body=b"1,2")

    def create(name, **more):
        channel = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/train"}}
        sm.create_training_job(
            TrainingJobName=name, RoleArn=role, AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": "s3://data/out"}, StoppingCondition={"MaxRuntimeInSeconds": 60},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            HyperParameters={"eta": "0.1", "objective": "reg:squarederror"},
            InputDataConfig=[{"ChannelName": "train", "DataSource": channel, "ContentType": "text/csv"}], **more,
        )  # fmt: skip

    return create


def move(yard, name, status, secondary, **state):
    store, clock = yard.platform.store, yard.platform.clock
    job = store.get(LIFECYCLE.kind, ACCOUNT, "us-east-1", name)
    assert store.apply(LIFECYCLE, job, Step(status, {**moved(job.state, secondary, clock.now()), **state}), None)


def test_each_job_has_a_component(yard, sm, jobs):
    jobs("Iris-1")
    yard.settle(kinds=set())
    there = sm.describe_trial_component(TrialComponentName="Iris-1-aws-training-job")
    job_arn = f"{PREFIX}training-job/iris-1"
    assert there["Source"] == {"SourceArn": job_arn, "SourceType": "SageMakerTrainingJob"}
    assert there["Status"]["PrimaryStatus"] == "InProgress" and there["TrialComponentArn"].endswith("component/iris-1-aws-training-job")
    assert there["Parameters"] == {
        "eta": {"NumberValue": 0.1}, "objective": {"StringValue": "reg:squarederror"}, "SageMaker.InstanceType": {"StringValue": "ml.m5.large"},
        "SageMaker.InstanceCount": {"NumberValue": 1.0}, "SageMaker.VolumeSizeInGB": {"NumberValue": 5.0},
    }  # fmt: skip
    assert there["InputArtifacts"] == {
        "SageMaker.ImageUri": {"Value": IMAGE},
        "train": {"Value": "s3://data/train", "MediaType": "text/csv"},
    }
    now = yard.platform.clock.now()
    dimensions = [{"Name": "TrainingJobName", "Value": "Iris-1"}]
    data = [{"MetricName": "train:rmse", "Dimensions": dimensions, "Value": v, "Timestamp": now + n} for n, v in enumerate((3.0, 1.0, 2.0))]
    yard.platform.metrics.put(ACCOUNT, "us-east-1", "/aws/sagemaker/TrainingJobs", data)
    model = "s3://data/out/Iris-1/output/model.tar.gz"
    move(yard, "Iris-1", "Completed", "Completed", started_at=now, ended_at=now + 60, model=model)
    for _ in range(2):  # a reader may hear everything again
        yard.settle(kinds=set())
        there = sm.describe_trial_component(TrialComponentName="Iris-1-aws-training-job")
        assert there["Status"] == {
            "PrimaryStatus": "Completed",
            "Message": "Status: Completed, secondary status: Completed, failure reason: .",
        }
        assert there["OutputArtifacts"] == {"SageMaker.ModelArtifact": {"Value": model}}
        (metric,) = there["Metrics"]
        assert (metric["Count"], metric["Min"], metric["Last"], metric["SourceArn"]) == (3, 1.0, 2.0, job_arn)
        yard.platform.store.set_cursor("trial-components", 0)
    assert [c["TrialComponentName"] for c in sm.list_trial_components(SourceArn=job_arn)["TrialComponentSummaries"]] == [
        there["TrialComponentName"]
    ]
    (hit,) = sm.search(Resource="ExperimentTrialComponent")["Results"]
    assert hit["TrialComponent"]["SourceDetail"]["TrainingJob"]["TrainingJobName"] == "Iris-1"


def test_a_job_joins_its_experiment(yard, sm, jobs):
    assert refused(lambda: jobs("j", ExperimentConfig={"ExperimentName": "e"}))[0] == "ResourceNotFound"
    sm.create_experiment(ExperimentName="e")
    sm.create_trial(TrialName="t", ExperimentName="e")
    sm.create_trial_component(TrialComponentName="run")
    jobs("with-trial", ExperimentConfig={"ExperimentName": "e", "TrialName": "t", "TrialComponentDisplayName": "Training"})
    jobs("without", ExperimentConfig={"ExperimentName": "e"})
    jobs("of-a-run", ExperimentConfig={"ExperimentName": "e", "TrialName": "t", "RunName": "run"})
    yard.settle(kinds=set())
    in_trial = sm.list_trial_components(TrialName="t", SortBy="Name", SortOrder="Ascending")["TrialComponentSummaries"]
    assert [c["TrialComponentName"] for c in in_trial] == ["of-a-run-aws-training-job", "run", "with-trial-aws-training-job"]
    assert in_trial[2]["DisplayName"] == "Training"
    (made,) = [t["TrialName"] for t in sm.list_trials(ExperimentName="e")["TrialSummaries"] if t["TrialName"] != "t"]
    assert [c["TrialComponentName"] for c in sm.list_trial_components(TrialName=made)["TrialComponentSummaries"]] == [
        "without-aws-training-job"
    ]
    sources = sm.describe_trial_component(TrialComponentName="run")["Sources"]
    assert sources == [{"SourceArn": f"{PREFIX}training-job/of-a-run", "SourceType": "SageMakerTrainingJob"}]


def test_what_a_job_changed_does_not_undo_what_a_user_changed(yard, sm, jobs):
    jobs("j")
    yard.settle(kinds=set())
    sm.update_trial_component(TrialComponentName="j-aws-training-job", DisplayName="Mine")
    move(yard, "j", "Failed", "Failed", reason="AlgorithmError: no")
    yard.settle(kinds=set())
    there = sm.describe_trial_component(TrialComponentName="j-aws-training-job")
    assert (
        there["DisplayName"] == "Mine"
        and there["Status"]["PrimaryStatus"] == "Failed"
        and "AlgorithmError: no" in there["Status"]["Message"]
    )


def test_ten_thousand_writes_take_no_time_at_all(sm, metrics, yard):
    """A bound against accidental scans, far above what it takes."""
    sm.create_trial_component(TrialComponentName="run")
    uid = yard.platform.store.by_arn(f"{PREFIX}experiment-trial-component/run").uid
    began = time.perf_counter()
    for batch in range(100):
        yard.platform.run_metrics.put(uid, [("m", batch * 100 + n, float(n), float(n)) for n in range(100)])
    assert time.perf_counter() - began < 10
    assert yard.platform.run_metrics.summaries(uid, "")[0]["Count"] == 10_000


def test_search_of_tuning_jobs(yard, sm, jobs):
    role = f"arn:aws:iam::{ACCOUNT}:role/" + yard.client("sts").get_caller_identity()["Arn"].split("/")[1]
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/train"}}}
    objective = {"Type": "Minimize", "MetricName": "validation:rmse"}
    sm.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="Tune",
        HyperParameterTuningJobConfig={
            "Strategy": "Random", "HyperParameterTuningJobObjective": objective,
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "eta", "MinValue": "0.1", "MaxValue": "0.5"}]},
        },
        TrainingJobDefinition={
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"}, "RoleArn": role, "InputDataConfig": [channel, {**channel, "ChannelName": "validation"}],
            "OutputDataConfig": {"S3OutputPath": "s3://data/out"}, "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StaticHyperParameters": {"objective": "reg:squarederror", "num_round": "2"},
        },
    )  # fmt: skip
    filters = [where("HyperParameterTuningJobConfig.Strategy", "Random"), where("HyperParameterTuningJobStatus", "InProgress")]
    (hit,) = sm.search(Resource="HyperParameterTuningJob", SearchExpression={"Filters": filters})["Results"]
    assert hit["HyperParameterTuningJob"]["HyperParameterTuningJobName"] == "Tune"
