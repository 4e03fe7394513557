"""The model registry by an unmodified boto3 client: groups, versions, approval, policies, models made of packages."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.config import Settings
from modelyard.kernel.clock import ManualClock
from modelyard.runtime.images import ImageStore

PREFIX = "arn:aws:sagemaker:us-east-1:123456789012:"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
SPEC = {
    "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://models/m/model.tar.gz", "Environment": {"A": "1", "B": "1"}}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
    "SupportedTransformInstanceTypes": ["ml.m5.large"],
    "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
}
OTHER = "210987654321"
REGISTRY = IMAGE.partition("/")[0]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def sm(yard):
    return yard.client("sagemaker")


def refused(function, **request):
    with pytest.raises(ClientError) as caught:
        function(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def registered(sm, group="Churn", **more):
    return sm.create_model_package(ModelPackageGroupName=group, InferenceSpecification=SPEC, **more)["ModelPackageArn"]


def given(specification):
    """Without what is filled in."""
    containers = [{k: v for k, v in c.items() if k != "ImageDigest"} for c in specification["Containers"]]
    return specification | {"Containers": containers}


def test_groups(yard, sm):
    arn = sm.create_model_package_group(ModelPackageGroupName="Churn", ModelPackageGroupDescription="who leaves")["ModelPackageGroupArn"]
    assert arn == f"{PREFIX}model-package-group/churn"
    there = sm.describe_model_package_group(ModelPackageGroupName="Churn")
    assert there["ModelPackageGroupStatus"] == "Completed" and there["ModelPackageGroupDescription"] == "who leaves"
    assert there["CreatedBy"]["IamIdentity"]["Arn"] == yard.client("sts").get_caller_identity()["Arn"]
    assert sm.describe_model_package_group(ModelPackageGroupName=arn)["ModelPackageGroupName"] == "Churn"
    assert refused(sm.create_model_package_group, ModelPackageGroupName="Churn") == (
        "ValidationException",
        f"Model Package Group already exists: {arn}",
    )
    assert refused(sm.describe_model_package_group, ModelPackageGroupName="none") == (
        "ValidationException",
        f"ModelPackageGroup {PREFIX}model-package-group/none does not exist.",
    )
    registered(sm)
    code, text = refused(sm.delete_model_package_group, ModelPackageGroupName="Churn")
    assert code == "ConflictException" and "still contains" in text
    sm.delete_model_package(ModelPackageName=f"{PREFIX}model-package/churn/1")
    sm.delete_model_package_group(ModelPackageGroupName="Churn")
    assert sm.list_model_package_groups()["ModelPackageGroupSummaryList"] == []


def test_group_lists(yard, sm):
    for name in ("b-one", "a-two", "c-one"):
        sm.create_model_package_group(ModelPackageGroupName=name)
        yard.platform.clock.advance(1)
    names = lambda **more: [g["ModelPackageGroupName"] for g in sm.list_model_package_groups(**more)["ModelPackageGroupSummaryList"]]  # noqa: E731
    assert names() == ["b-one", "a-two", "c-one"]
    assert names(SortBy="Name", SortOrder="Descending") == ["c-one", "b-one", "a-two"]
    assert names(NameContains="ONE") == ["b-one", "c-one"]
    assert names(CrossAccountFilterOption="CrossAccount") == []
    pages = sm.get_paginator("list_model_package_groups").paginate(PaginationConfig={"PageSize": 1})
    assert [g["ModelPackageGroupName"] for page in pages for g in page["ModelPackageGroupSummaryList"]] == ["b-one", "a-two", "c-one"]


def test_versions_count_up_and_are_not_given_twice(sm):
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    assert [registered(sm), registered(sm)] == [f"{PREFIX}model-package/churn/1", f"{PREFIX}model-package/churn/2"]
    sm.delete_model_package(ModelPackageName=f"{PREFIX}model-package/churn/2")
    assert registered(sm).endswith("/3")
    assert registered(sm, group=f"{PREFIX}model-package-group/churn").endswith("/4")
    there = sm.describe_model_package(ModelPackageName=f"{PREFIX}model-package/Churn/3")
    assert there["ModelPackageGroupName"] == "Churn" and there["ModelPackageVersion"] == 3 and "ModelPackageName" not in there
    assert there["ModelPackageStatus"] == "Completed" and there["ModelApprovalStatus"] == "PendingManualApproval"
    assert given(there["InferenceSpecification"]) == SPEC and there["CertifyForMarketplace"] is False
    assert there["ModelPackageStatusDetails"] == {"ValidationStatuses": [], "ImageScanStatuses": []}
    gone = ("ValidationException", f"ModelPackage {PREFIX}model-package/churn/2 does not exist.")
    assert refused(sm.describe_model_package, ModelPackageName=f"{PREFIX}model-package/churn/2") == gone
    assert refused(sm.delete_model_package, ModelPackageName=f"{PREFIX}model-package/churn/2") == gone


def test_a_repeated_request_makes_one_version(sm):
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    assert registered(sm, ClientToken="same") == registered(sm, ClientToken="same") != registered(sm, ClientToken="other")


METRICS = {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://models/stats.json"}}}


def test_everything_that_was_registered_comes_back(sm):
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    more = {
        "ModelPackageDescription": "first",
        "ModelApprovalStatus": "Approved",
        "ModelMetrics": METRICS,
        "DriftCheckBaselines": {"ModelDataQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://models/b.json"}}},
        "CustomerMetadataProperties": {"team": "red"},
        "MetadataProperties": {"CommitId": "abc", "ProjectId": "p"},
        "Domain": "MACHINE_LEARNING",
        "Task": "CLASSIFICATION",
        "SamplePayloadUrl": "s3://models/payload.tar.gz",
        "SkipModelValidation": "All",
        "AdditionalInferenceSpecifications": [{"Name": "small", "Containers": [{"Image": IMAGE}]}],
        "ModelLifeCycle": {"Stage": "Development", "StageStatus": "InProgress"},
        "SourceUri": "https://example.com/run/1",
    }
    arn = registered(sm, **more)
    there = sm.describe_model_package(ModelPackageName=arn)
    there["AdditionalInferenceSpecifications"] = [given(one) for one in there["AdditionalInferenceSpecifications"]]
    assert {member: there[member] for member in more} == more


def test_artifacts_that_the_caller_may_read_have_their_etag(yard, sm):
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="models")
    etag = s3.put_object(Bucket="models", Key="m/model.tar.gz", Body=b"model")["ETag"].strip('"')
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    there = sm.describe_model_package(ModelPackageName=registered(sm))
    assert there["InferenceSpecification"]["Containers"][0]["ModelDataETag"] == etag


def test_images_that_are_here_have_their_digest(yard, sm, tmp_path):
    images = ImageStore(Settings(data=tmp_path))
    yard.platform.parts["images"] = images
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    first, second, other = f"{REGISTRY}/sagemaker-xgboost:1.7-1", f"{REGISTRY}/xgboost:1.7-1", f"{REGISTRY}/sagemaker-xgboost:3.0-5"
    mine, pinned = f"{REGISTRY}/mine:1", f"{REGISTRY}/mine@sha256:{'a' * 64}"
    containers = [{"Image": uri} for uri in (first, second, other, mine, pinned)]
    arn = sm.create_model_package(ModelPackageGroupName="Churn", InferenceSpecification=SPEC | {"Containers": containers})[
        "ModelPackageArn"
    ]
    found = [c.get("ImageDigest") for c in sm.describe_model_package(ModelPackageName=arn)["InferenceSpecification"]["Containers"]]
    assert found[0] == found[1] != found[2] and found[3:] == [None, "sha256:" + "a" * 64]
    assert len(found[0]) == 71 and found[0].startswith("sha256:")


def test_updates(sm):
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    arn = registered(sm, CustomerMetadataProperties={"a": "1", "b": "1"})
    sm.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good enough")
    sm.update_model_package(
        ModelPackageArn=arn, CustomerMetadataProperties={"b": "2", "c": "2"}, CustomerMetadataPropertiesToRemove=["a"], SourceUri="here"
    )
    sm.update_model_package(ModelPackageArn=arn, AdditionalInferenceSpecificationsToAdd=[{"Name": "x", "Containers": [{"Image": IMAGE}]}])
    there = sm.describe_model_package(ModelPackageName=arn)
    assert there["ModelApprovalStatus"] == "Approved" and there["ApprovalDescription"] == "good enough" and there["SourceUri"] == "here"
    assert there["CustomerMetadataProperties"] == {"b": "2", "c": "2"}
    assert [s["Name"] for s in there["AdditionalInferenceSpecifications"]] == ["x"]
    assert there["LastModifiedBy"]["IamIdentity"]
    added = {"Name": "x", "Containers": [{"Image": IMAGE}]}
    assert "more than once" in refused(sm.update_model_package, ModelPackageArn=arn, AdditionalInferenceSpecificationsToAdd=[added])[1]
    sm.update_model_package(ModelPackageArn=arn, InferenceSpecification={"Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://models/n"}]})
    assert sm.describe_model_package(ModelPackageName=arn)["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] == "s3://models/n"


def test_each_change_is_an_event(yard, sm):
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    arn = registered(sm)
    sm.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    record = yard.platform.store.by_arn(arn)
    events = [e.detail["eventbridge"] for e in yard.platform.store.events_of(record.uid)]
    assert [e["detail"]["ModelApprovalStatus"] for e in events] == ["PendingManualApproval", "Rejected"]
    for event in events:
        assert event["detail-type"] == "SageMaker Model Package State Change" and event["source"] == "aws.sagemaker"
        assert event["resources"] == [arn] == [event["detail"]["ModelPackageArn"]]
        assert event["detail"]["ModelPackageGroupName"] == "Churn" and event["detail"]["ModelPackageVersion"] == 1
        assert event["detail"]["CreationTime"] == "2023-11-14T22:13:20Z"


def test_lists(yard, sm):
    for group in ("churn", "spam"):
        sm.create_model_package_group(ModelPackageGroupName=group)
        for approval in ("Approved", "Rejected", "Approved"):
            registered(sm, group, ModelApprovalStatus=approval)
            yard.platform.clock.advance(10)
    sm.create_model_package(ModelPackageName="alone", InferenceSpecification=SPEC)

    def listed(**more):
        return [p["ModelPackageArn"].partition("/")[2] for p in sm.list_model_packages(**more)["ModelPackageSummaryList"]]

    assert listed() == ["alone"] == listed(ModelPackageType="Unversioned")
    assert listed(ModelPackageGroupName="churn") == ["churn/1", "churn/2", "churn/3"]
    newest = {"ModelApprovalStatus": "Approved", "SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 1}
    assert listed(ModelPackageGroupName="churn", **newest) == ["churn/3"]
    assert listed(ModelPackageType="Versioned", ModelApprovalStatus="Rejected") == ["churn/2", "spam/2"]
    assert len(listed(ModelPackageType="Both")) == 7 and listed(ModelPackageGroupName="none") == []
    pages = sm.get_paginator("list_model_packages").paginate(ModelPackageType="Versioned", PaginationConfig={"PageSize": 2})
    assert [len(page["ModelPackageSummaryList"]) for page in pages] == [2, 2, 2]
    cut = 1_700_000_000.0 + 15
    assert listed(ModelPackageGroupName="churn", CreationTimeAfter=cut) == ["churn/3"]
    assert listed(ModelPackageGroupName="churn", CreationTimeBefore=cut) == ["churn/1", "churn/2"]


def test_batch_describe(sm):
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    arn, none = registered(sm), f"{PREFIX}model-package/churn/9"
    answer = sm.batch_describe_model_package(ModelPackageArnList=[arn, none])
    assert given(answer["ModelPackageSummaries"][arn]["InferenceSpecification"]) == SPEC
    assert answer["BatchDescribeModelPackageErrorMap"][none]["ErrorResponse"] == f"ModelPackage {none} does not exist."


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"ModelPackageName": "a", "ModelPackageGroupName": "churn"}, "Both ModelPackageName and ModelPackageGroupName are provided"),
        ({}, "Missing ARN."),
        ({"ModelPackageGroupName": "none"}, f"ModelPackageGroup {PREFIX}model-package-group/none does not exist."),
        ({"ModelPackageName": "a"}, "InferenceSpecification is required"),
        ({"ModelPackageGroupName": "churn", "InferenceSpecification": {"Containers": [{}]}}, "must have an Image"),
        ({"ModelPackageGroupName": "churn", "Tags": [{"Key": "a", "Value": "b"}]}, "Tags are not supported"),
        ({"ModelPackageGroupName": "churn", "CertifyForMarketplace": True}, "CertifyForMarketplace does not apply"),
        (
            {"ModelPackageGroupName": "churn", "SourceAlgorithmSpecification": {"SourceAlgorithms": [{"AlgorithmName": "x"}]}},
            "SourceAlgorithmSpecification is not built yet",
        ),
        (
            {"ModelPackageGroupName": "churn", "ModelApprovalStatus": "Yes"},
            "failed to satisfy constraint: Member must satisfy enum value set",
        ),
        ({"ModelPackageGroupName": "-x"}, "failed to satisfy constraint: Member must satisfy regular expression pattern"),
    ],
)
def test_bad_packages(sm, request_, text):
    sm.create_model_package_group(ModelPackageGroupName="churn")
    code, said = refused(sm.create_model_package, **request_)
    assert code == "ValidationException" and text in said
    assert sm.list_model_packages(ModelPackageType="Both")["ModelPackageSummaryList"] == []


def test_a_package_without_versions(sm):
    arn = sm.create_model_package(ModelPackageName="Alone", InferenceSpecification=SPEC, Tags=[{"Key": "k", "Value": "v"}])[
        "ModelPackageArn"
    ]
    assert arn == f"{PREFIX}model-package/alone"
    there = sm.describe_model_package(ModelPackageName="Alone")
    assert there["ModelPackageName"] == "Alone" and "ModelApprovalStatus" not in there and "ModelPackageVersion" not in there
    assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]
    assert refused(sm.create_model_package, ModelPackageName="Alone", InferenceSpecification=SPEC)[0] == "ConflictException"
    assert "does not apply" in refused(sm.update_model_package, ModelPackageArn=arn, ModelApprovalStatus="Approved")[1]


# --- models --------------------------------------------------------------------------------------


@pytest.fixture
def role(yard):
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="models")
    s3.put_object(Bucket="models", Key="m/model.tar.gz", Body=b"model")
    return made_role(yard.client("iam"))


def made_role(iam, allowed="s3:*"):
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    arn = iam.create_role(RoleName="hosting", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    may = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]}
    iam.put_role_policy(RoleName="hosting", PolicyName="may", PolicyDocument=json.dumps(may))
    return arn


def test_a_model_of_a_package(yard, sm, role):
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    small = {"Name": "small", "Containers": [{"Image": IMAGE}]}
    arn = registered(sm, AdditionalInferenceSpecifications=[small])
    container = {"ModelPackageName": arn, "Environment": {"B": "2"}}
    code, text = refused(sm.create_model, ModelName="m", PrimaryContainer=container, ExecutionRoleArn=role)
    assert code == "ValidationException" and "PendingManualApproval" in text and arn in text
    sm.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    sm.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=role)
    assert sm.describe_model(ModelName="m")["PrimaryContainer"] == {
        "ModelPackageName": arn,
        "Environment": {"B": "2"},
        "Mode": "SingleModel",
    }
    from modelyard.services.sagemaker.model import hosted_containers

    hosted = hosted_containers(yard.platform.store.by_arn(f"{PREFIX}model/m").spec)
    assert [(c["image"], c["environment"], c["data"]["S3Uri"]) for c in hosted] == [
        (IMAGE, {"A": "1", "B": "2"}, "s3://models/m/model.tar.gz")
    ]
    sm.create_model(ModelName="n", Containers=[{"ModelPackageName": arn, "InferenceSpecificationName": "small"}], ExecutionRoleArn=role)
    none = {"ModelPackageName": arn, "InferenceSpecificationName": "big"}
    assert "inference specification big" in refused(sm.create_model, ModelName="o", PrimaryContainer=none, ExecutionRoleArn=role)[1]
    gone = {"ModelPackageName": arn + "9"}
    assert (
        f"ModelPackage {arn}9 does not exist." == refused(sm.create_model, ModelName="o", PrimaryContainer=gone, ExecutionRoleArn=role)[1]
    )
    both = {"ModelPackageName": arn, "Image": IMAGE}
    assert "cannot be given together" in refused(sm.create_model, ModelName="o", PrimaryContainer=both, ExecutionRoleArn=role)[1]


def profile(**more):
    job = {
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://models/rows"}},
            "ContentType": "text/csv",
        },
        "TransformOutput": {"S3OutputPath": "s3://models/validated"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    return {"ProfileName": "small", "TransformJobDefinition": job | more}


@pytest.mark.parametrize(("end", "status"), [("Completed", "Completed"), ("Failed", "Failed"), ("Stopped", "Failed")])
def test_a_validation_profile_is_a_transform_job(yard, sm, role, end, status):
    from modelyard.kernel.store import Step
    from modelyard.services.sagemaker.transform_job.lifecycle import LIFECYCLE as TRANSFORM

    sm.create_model_package_group(ModelPackageGroupName="Churn")
    validation = {"ValidationRole": role, "ValidationProfiles": [profile()]}
    code, text = refused(registered, sm=sm, ValidationSpecification=validation)
    assert code == "ValidationException" and 'No S3 objects found under S3 URL "s3://models/rows"' in text
    yard.client("s3").put_object(Bucket="models", Key="rows/1.csv", Body=b"1,2\n")
    arn = registered(sm, ValidationSpecification=validation, ModelApprovalStatus="Approved")
    there = sm.describe_model_package(ModelPackageName=arn)
    assert there["ModelPackageStatus"] == "Pending"
    assert there["ModelPackageStatusDetails"]["ValidationStatuses"] == [{"Name": "small", "Status": "NotStarted"}]
    for _ in range(2):
        yard.settle(kinds={"model-package"})
        assert sm.describe_model_package(ModelPackageName=arn)["ModelPackageStatus"] == "InProgress"
    assert (
        "must be Completed" in refused(sm.create_model, ModelName="m", PrimaryContainer={"ModelPackageName": arn}, ExecutionRoleArn=role)[1]
    )
    assert refused(sm.delete_model_package, ModelPackageName=arn)[0] == "ConflictException"
    (job,) = yard.platform.store.list(TRANSFORM.kind)
    assert [(c["image"], c["environment"]) for c in job.spec["model"]["containers"]] == [(IMAGE, {"A": "1", "B": "1"})]
    reason = {"reason": "ClientError: bad row"} if end == "Failed" else {}
    assert yard.platform.store.apply(TRANSFORM, job, Step(end if end != "Stopped" else "Stopped", reason), None)
    yard.settle(kinds={"model-package"})
    there = sm.describe_model_package(ModelPackageName=arn)
    assert there["ModelPackageStatus"] == status
    (item,) = there["ModelPackageStatusDetails"]["ValidationStatuses"]
    assert item["Status"] == status and ("bad row" in item.get("FailureReason", "")) == (end == "Failed")
    events = yard.platform.store.events_of(yard.platform.store.by_arn(arn).uid)
    assert [e.detail["eventbridge"]["detail"]["ModelPackageStatus"] for e in events] == ["Pending", "InProgress", status]
    skipped = registered(sm, ValidationSpecification=validation, SkipModelValidation="All")
    assert sm.describe_model_package(ModelPackageName=skipped)["ModelPackageStatus"] == "Completed"


def test_a_package_of_a_model_and_of_a_package(sm, role):
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    container = {"Image": IMAGE, "ModelDataUrl": "s3://models/m/model.tar.gz"}
    model = sm.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=role)["ModelArn"]
    first = sm.create_model_package(ModelPackageGroupName="Churn", SourceUri=model)["ModelPackageArn"]
    second = sm.create_model_package(ModelPackageGroupName="Churn", SourceUri=first)["ModelPackageArn"]
    for arn in (first, second):
        brought = sm.describe_model_package(ModelPackageName=arn)["InferenceSpecification"]["Containers"]
        assert [(c["Image"], c["ModelDataUrl"]) for c in brought] == [(IMAGE, "s3://models/m/model.tar.gz")]
    assert (
        "together with a SourceUri"
        in refused(sm.create_model_package, ModelPackageGroupName="Churn", SourceUri=model, InferenceSpecification=SPEC)[1]
    )


# --- policies ------------------------------------------------------------------------------------


def statement(actions, resource, account=OTHER):
    return {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": actions, "Resource": resource}


def test_a_policy_of_a_group(sm):
    name = {"ModelPackageGroupName": "Churn"}
    missing = ("ValidationException", f"Cannot find Model Package Group: {PREFIX}model-package-group/churn")
    assert refused(sm.get_model_package_group_policy, **name) == missing
    sm.create_model_package_group(**name)
    none = ("ValidationException", f"Cannot find resource policy for: {PREFIX}model-package-group/churn")
    assert refused(sm.get_model_package_group_policy, **name) == none == refused(sm.delete_model_package_group_policy, **name)
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement("sagemaker:DescribeModelPackage", "*")]})
    assert sm.put_model_package_group_policy(ResourcePolicy=text, **name)["ModelPackageGroupArn"] == f"{PREFIX}model-package-group/churn"
    assert sm.get_model_package_group_policy(**name)["ResourcePolicy"] == text
    for bad in ("no json", json.dumps({"Statement": [statement("s3:GetObject", "*")]}), json.dumps({"Version": "2012-10-17"})):
        assert refused(sm.put_model_package_group_policy, ResourcePolicy=bad, **name)[0] == "ValidationException"
    sm.delete_model_package_group_policy(**name)
    assert refused(sm.get_model_package_group_policy, **name) == none


def test_another_account_may_what_the_policy_says(yard, sm):
    from modelyard.services.iam.bootstrap import ensure_account
    from tests.support import inproc

    keys = ensure_account(yard.platform, OTHER)["session"]
    other = {
        service: inproc.client(yard.gateway, service, key=keys["AccessKeyId"], secret=keys["SecretAccessKey"], token=keys["SessionToken"])
        for service in ("sagemaker", "iam")
    }
    theirs = other["sagemaker"]
    group = sm.create_model_package_group(ModelPackageGroupName="Churn")["ModelPackageGroupArn"]
    arn = registered(sm, ModelApprovalStatus="Approved")
    assert refused(theirs.describe_model_package, ModelPackageName=arn)[0] == "AccessDeniedException"
    assert refused(theirs.describe_model_package_group, ModelPackageGroupName=group)[0] == "AccessDeniedException"
    assert refused(theirs.list_model_packages, ModelPackageGroupName=group)[0] == "AccessDeniedException"
    allowed = ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages", "sagemaker:CreateModelPackage"]
    policy = {"Version": "2012-10-17", "Statement": [statement(allowed, [group, f"{PREFIX}model-package/churn/*"])]}
    sm.put_model_package_group_policy(ModelPackageGroupName="Churn", ResourcePolicy=json.dumps(policy))
    assert theirs.describe_model_package(ModelPackageName=arn)["ModelPackageArn"] == arn
    assert [p["ModelPackageArn"] for p in theirs.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]] == [arn]
    assert refused(theirs.update_model_package, ModelPackageArn=arn, ModelApprovalStatus="Rejected")[0] == "AccessDeniedException"
    assert refused(theirs.delete_model_package, ModelPackageName=arn)[0] == "AccessDeniedException"
    assert registered(theirs, group) == f"{PREFIX}model-package/churn/2"
    role = made_role(other["iam"])
    code, text = refused(theirs.create_model, ModelName="m", PrimaryContainer={"ModelPackageName": arn}, ExecutionRoleArn=role)
    assert code == "AccessDeniedException" and "sagemaker:CreateModel" in text
    policy["Statement"][0]["Action"].append("sagemaker:CreateModel")
    sm.put_model_package_group_policy(ModelPackageGroupName="Churn", ResourcePolicy=json.dumps(policy))
    sm.update_model_package(ModelPackageArn=arn, InferenceSpecification={"Containers": [{"Image": IMAGE}]})
    theirs.create_model(ModelName="m", PrimaryContainer={"ModelPackageName": arn}, ExecutionRoleArn=role)
    sm.delete_model_package_group_policy(ModelPackageGroupName="Churn")
    assert refused(theirs.describe_model_package, ModelPackageName=arn)[0] == "AccessDeniedException"


def test_a_principal_without_permission_is_denied(yard, sm):
    sm.create_model_package_group(ModelPackageGroupName="Churn")
    arn = registered(sm)
    iam = yard.client("iam")
    iam.create_user(UserName="reader")
    may = [{"Effect": "Allow", "Action": "sagemaker:Describe*", "Resource": "*"}]
    iam.put_user_policy(UserName="reader", PolicyName="may", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": may}))
    keys = iam.create_access_key(UserName="reader")["AccessKey"]
    from tests.support import inproc

    reader = inproc.client(yard.gateway, "sagemaker", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    assert reader.describe_model_package(ModelPackageName=arn)["ModelPackageArn"] == arn
    code, text = refused(reader.update_model_package, ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert code == "AccessDeniedException" and arn in text
    assert refused(reader.create_model_package, ModelPackageGroupName="Churn", InferenceSpecification=SPEC)[0] == "AccessDeniedException"
    deny = {"Version": "2012-10-17", "Statement": [{**statement("sagemaker:DescribeModelPackage", "*", "123456789012"), "Effect": "Deny"}]}
    sm.put_model_package_group_policy(ModelPackageGroupName="Churn", ResourcePolicy=json.dumps(deny))
    assert refused(reader.describe_model_package, ModelPackageName=arn)[0] == "AccessDeniedException"
