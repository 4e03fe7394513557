"""Lineage records by an unmodified boto3 client, and those that the platform writes itself."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.store import Step
from modelyard.services.sagemaker.lineage import facts
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


def refused(function, **request):
    with pytest.raises(ClientError) as caught:
        function(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_artifacts(sm):
    source = {"SourceUri": "s3://b/k", "SourceTypes": [{"SourceIdType": "S3ETag", "Value": "abc"}]}
    arn = sm.create_artifact(ArtifactName="data", ArtifactType="DataSet", Source=source, Properties={"a": "1", "b": "1"})["ArtifactArn"]
    assert arn.startswith(f"{PREFIX}artifact/")
    code, text = refused(sm.create_artifact, ArtifactType="DataSet", Source=source)
    assert code == "ValidationException" and "already exists" in text
    other = sm.create_artifact(ArtifactType="Model", Source={"SourceUri": "s3://b/k"})["ArtifactArn"]
    assert other != arn
    sm.update_artifact(ArtifactArn=arn, ArtifactName="renamed", Properties={"b": "2"}, PropertiesToRemove=["a"])
    there = sm.describe_artifact(ArtifactArn=arn)
    assert (there["ArtifactName"], there["Properties"], there["Source"]) == ("renamed", {"b": "2"}, source)
    assert there["LineageGroupArn"] == f"{PREFIX}lineage-group/sagemaker-default-lineage-group"
    both = [a["ArtifactArn"] for a in sm.list_artifacts(SourceUri="s3://b/k")["ArtifactSummaries"]]
    assert sorted(both) == sorted([arn, other]) and len(sm.list_artifacts()["ArtifactSummaries"]) == 2
    assert [a["ArtifactArn"] for a in sm.list_artifacts(ArtifactType="Model")["ArtifactSummaries"]] == [other]
    assert sm.delete_artifact(Source=source)["ArtifactArn"] == arn
    assert refused(sm.describe_artifact, ArtifactArn=arn) == ("ResourceNotFound", f"Artifact '{arn}' does not exist.")
    assert "Either ArtifactArn or Source" in refused(sm.delete_artifact)[1]


@pytest.mark.parametrize("kind", ["action", "context"])
def test_actions_and_contexts(sm, kind):
    noun = kind.capitalize()
    create, describe, update, delete, list_ = (getattr(sm, f"{verb}_{kind}{'s' if verb == 'list' else ''}") for verb in (
        "create", "describe", "update", "delete", "list"))  # fmt: skip
    given = {f"{noun}Name": "One", f"{noun}Type": "Kind", "Source": {"SourceUri": "arn:x", "SourceType": "ARN"}}
    arn = create(**given, Tags=[{"Key": "k", "Value": "v"}])[f"{noun}Arn"]
    assert arn == f"{PREFIX}{kind}/one"
    assert "already exists" in refused(create, **given)[1]
    update(
        **{f"{noun}Name": "One", "Description": "said", "Properties": {"p": "1"}}, **({"Status": "Completed"} if kind == "action" else {})
    )
    there = describe(**{f"{noun}Name": arn})
    assert (there["Description"], there["Properties"], there[f"{noun}Type"]) == ("said", {"p": "1"}, "Kind")
    (row,) = list_(SourceUri="arn:x")[f"{noun}Summaries"]
    assert row[f"{noun}Name"] == "One" and list_(**{f"{noun}Type": "Other"})[f"{noun}Summaries"] == []
    assert sm.list_tags(ResourceArn=arn)["Tags"]
    delete(**{f"{noun}Name": "One"})
    assert refused(delete, **{f"{noun}Name": "One"})[0] == "ResourceNotFound"


def test_associations(yard, sm):
    data = sm.create_artifact(ArtifactName="data", ArtifactType="DataSet", Source={"SourceUri": "s3://b/data"})["ArtifactArn"]
    model = sm.create_artifact(ArtifactType="Model", Source={"SourceUri": "s3://b/model"})["ArtifactArn"]
    action = sm.create_action(ActionName="train", ActionType="Training", Source={"SourceUri": "x"})["ActionArn"]
    component = sm.create_trial_component(TrialComponentName="run")["TrialComponentArn"]
    sm.add_association(SourceArn=data, DestinationArn=action, AssociationType="ContributedTo")
    yard.platform.clock.advance(1)
    sm.add_association(SourceArn=action, DestinationArn=model, AssociationType="Produced")
    yard.platform.clock.advance(1)
    sm.add_association(SourceArn=model, DestinationArn=component)
    assert "already exists" in refused(sm.add_association, SourceArn=data, DestinationArn=action)[1]
    assert "itself" in refused(sm.add_association, SourceArn=data, DestinationArn=data)[1]
    experiment = sm.create_experiment(ExperimentName="e")["ExperimentArn"]
    assert "two experiment entities" in refused(sm.add_association, SourceArn=component, DestinationArn=experiment)[1]
    none = f"{PREFIX}artifact/none"
    assert refused(sm.add_association, SourceArn=data, DestinationArn=none)[0] == "ResourceNotFound"

    def listed(**more):
        pages = sm.get_paginator("list_associations").paginate(**more, PaginationConfig={"PageSize": 1})
        return [(a.get("SourceType"), a["AssociationType"], a.get("DestinationType")) for p in pages for a in p["AssociationSummaries"]]

    first, second, third = (
        ("DataSet", "ContributedTo", "Training"), ("Training", "Produced", "Model"), ("Model", "AssociatedWith", "TrialComponent"),
    )  # fmt: skip
    assert listed() == [third, second, first] and listed(SortOrder="Ascending") == [first, second, third]
    assert listed(SourceArn=action) == [second] == listed(DestinationType="Model") == listed(AssociationType="Produced")
    assert listed(DestinationType="Action") == [first] and listed(DestinationArn=model) == [second]
    assert listed(SortBy="SourceType", SortOrder="Ascending") == [first, third, second]
    (row,) = sm.list_associations(SourceArn=data)["AssociationSummaries"]
    assert row["SourceName"] == "data" and row["DestinationName"] == "train"
    assert "still has 1 associations" in refused(sm.delete_artifact, ArtifactArn=data)[1]
    sm.delete_association(SourceArn=data, DestinationArn=action)
    assert refused(sm.delete_association, SourceArn=data, DestinationArn=action)[0] == "ResourceNotFound"
    sm.delete_artifact(ArtifactArn=data)


def test_query_lineage_says_that_it_is_not_built(sm):
    assert refused(sm.query_lineage, StartArns=[f"{PREFIX}artifact/x"])[0] == "NotImplemented"


# --- by itself -----------------------------------------------------------------------------------


def graph(sm, **which):
    """{(source name or URI, type of association, destination name or URI)}"""
    uris = {
        a["ArtifactArn"]: a["Source"]["SourceUri"] for p in sm.get_paginator("list_artifacts").paginate() for a in p["ArtifactSummaries"]
    }

    def said(arn):
        return uris.get(arn) or arn.removeprefix(PREFIX)

    pages = sm.get_paginator("list_associations").paginate(**which)
    return {(said(a["SourceArn"]), a["AssociationType"], said(a["DestinationArn"])) for p in pages for a in p["AssociationSummaries"]}


@pytest.fixture
def role(yard):
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="train/x.csv", Body=b"1,2")
    return f"arn:aws:iam::{ACCOUNT}:role/" + yard.client("sts").get_caller_identity()["Arn"].split("/")[1]


def test_from_data_to_model_to_package(yard, sm, role):
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/train"}}
    sm.create_training_job(
        TrainingJobName="Train", RoleArn=role, AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://data/out"}, StoppingCondition={"MaxRuntimeInSeconds": 60},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        InputDataConfig=[{"ChannelName": "train", "DataSource": source}],
    )  # fmt: skip
    tar = "s3://data/out/Train/output/model.tar.gz"
    yard.client("s3").put_object(Bucket="data", Key="out/Train/output/model.tar.gz", Body=b"model")
    job = yard.platform.store.get(LIFECYCLE.kind, ACCOUNT, "us-east-1", "Train")
    state = {**moved(job.state, "Completed", 1.0), "model": tar, "started_at": 1.0, "ended_at": 2.0}
    yard.platform.store.apply(LIFECYCLE, job, Step("Completed", state), None)
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    spec = {"Containers": [{"Image": IMAGE, "ModelDataUrl": tar}]}
    package = sm.create_model_package(ModelPackageGroupName="Churn", InferenceSpecification=spec)["ModelPackageArn"]
    yard.settle(kinds=set())
    sm.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    model = sm.create_model(ModelName="m", PrimaryContainer={"ModelPackageName": package}, ExecutionRoleArn=role)["ModelArn"]
    component, group = "experiment-trial-component/train-aws-training-job", "context/churn-aws-model-package-group"
    wanted = {
        ("s3://data/train", "ContributedTo", component), (IMAGE, "ContributedTo", component), (component, "Produced", tar),
        (tar, "ContributedTo", package), (IMAGE, "ContributedTo", package), (package, "AssociatedWith", group),
        ("action/churn-1-pendingmanualapproval-aws-model-package", "ContributedTo", package),
        ("action/churn-1-approved-aws-model-package", "ContributedTo", package),
        (tar, "ContributedTo", model), (IMAGE, "ContributedTo", model), (package, "ContributedTo", model),
    }  # fmt: skip
    for _ in range(2):  # a reader may hear everything again
        yard.settle(kinds=set())
        assert graph(sm) == wanted
        yard.platform.store.set_cursor("lineage", 0)
    (row,) = sm.list_associations(DestinationType="SageMakerTrainingJob", SourceType="DataSet")["AssociationSummaries"]
    assert row["DestinationName"] == "Train-aws-training-job"
    approval = sm.describe_action(ActionName="Churn-1-Approved-aws-model-package")
    assert approval["ActionType"] == "Approval" and approval["Source"] == {"SourceUri": package, "SourceType": "ARN"}
    (found,) = sm.list_contexts(SourceUri=f"{PREFIX}model-package-group/churn")["ContextSummaries"]
    assert found["ContextType"] == "ModelGroup"
    assert [a["ArtifactType"] for a in sm.list_artifacts(SourceUri=package)["ArtifactSummaries"]] == ["Model"]


def test_an_endpoint_and_its_deployments(yard, sm):
    """From the record: what hosting does to it is tested there."""
    from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT

    containers = [{"image": IMAGE, "data": {"S3Uri": "s3://data/model.tar.gz"}}]
    serving = {"config": "C1", "edition": 1, "variants": [{"name": "all", "model": "M", "containers": containers}]}
    arn = f"{PREFIX}endpoint/e"
    store = yard.platform.store
    record = store.create(ENDPOINT, account=ACCOUNT, region="us-east-1", name="E", arn=arn, spec={"wanted": serving})
    yard.settle(kinds=set())
    assert [c["ContextType"] for c in sm.list_contexts(SourceUri=arn)["ContextSummaries"]] == ["Endpoint"] and graph(sm) == set()
    record = store.apply(ENDPOINT, record, Step("InService", {"serving": serving, "settled": 1}), None)
    yard.settle(kinds=set())
    first = graph(sm)
    (action,) = {source for source, _, _ in first if source.startswith("action/")}
    context = "context/e-1700000000-aws-endpoint"
    assert first == {
        (action, "AssociatedWith", context), (f"{PREFIX}model/m", "ContributedTo", action), ("s3://data/model.tar.gz", "ContributedTo", action),
    }  # fmt: skip
    again = store.apply(ENDPOINT, record, Step("InService", {"serving": {**serving, "edition": 2}}), None)
    yard.settle(kinds=set())
    assert graph(sm) == first  # scaled: the same deployment
    store.apply(ENDPOINT, again, Step("InService", {"serving": {**serving, "config": "C2"}}), None)
    yard.settle(kinds=set())
    assert len([1 for _, kind, end in graph(sm) if (kind, end) == ("AssociatedWith", context)]) == 2
    assert sm.list_actions(ActionType="ModelDeployment")["ActionSummaries"][0]["Status"] == "Completed"


def test_a_principal_without_permission_is_denied(yard, sm):
    iam = yard.client("iam")
    iam.create_user(UserName="reader")
    may = [{"Effect": "Allow", "Action": ["sagemaker:Describe*", "sagemaker:List*"], "Resource": "*"}]
    iam.put_user_policy(UserName="reader", PolicyName="may", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": may}))
    keys = iam.create_access_key(UserName="reader")["AccessKey"]
    from tests.support import inproc

    reader, metrics = (
        inproc.client(yard.gateway, service, key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
        for service in ("sagemaker", "sagemaker-metrics")
    )
    sm.create_trial_component(TrialComponentName="run")
    a = sm.create_artifact(ArtifactType="t", Source={"SourceUri": "a"})["ArtifactArn"]
    b = sm.create_artifact(ArtifactType="t", Source={"SourceUri": "b"})["ArtifactArn"]
    assert reader.describe_artifact(ArtifactArn=a) and reader.list_associations()["AssociationSummaries"] == []
    datum = {"MetricName": "m", "Timestamp": 1_700_000_000, "Value": 1.0}
    for function, request in (
        (reader.add_association, {"SourceArn": a, "DestinationArn": b}),
        (reader.delete_artifact, {"ArtifactArn": a}),
        (reader.create_experiment, {"ExperimentName": "e"}),
        (reader.update_trial_component, {"TrialComponentName": "run"}),
        (reader.search, {"Resource": "Experiment"}),
        (metrics.batch_put_metrics, {"TrialComponentName": "run", "MetricData": [datum]}),
    ):
        assert refused(function, **request)[0] == "AccessDeniedException", function


def test_an_endpoint_of_inference_components_has_no_model_of_its_own():
    state = {"serving": {"config": "c", "variants": [{"name": "m"}], "shadows": []}}
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e"
    endpoint = SimpleNamespace(arn=arn, name="e", uid="u", created_at=1_700_000_000.0, state=state)
    [link] = facts.of_endpoint(endpoint)
    assert (link.source.type, link.destination.type) == ("ModelDeployment", "Endpoint")
