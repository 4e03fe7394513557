"""Models and endpoint configurations by an unmodified boto3 client."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.support.hosting import IMAGE, Hosting

PREFIX = "arn:aws:sagemaker:us-east-1:123456789012:"


@pytest.fixture(scope="module")
def hosting(tmp_path_factory):
    made = Hosting(tmp_path_factory.mktemp("model"))
    yield made
    made.close()


def refused(function, **request):
    with pytest.raises(ClientError) as caught:
        function(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_create_describe_delete(hosting):
    assert hosting.model("Round") == f"{PREFIX}model/round"
    there = hosting.sm.describe_model(ModelName="Round")
    assert there["PrimaryContainer"] == {
        "Image": IMAGE,
        "Mode": "SingleModel",
        "ModelDataUrl": "s3://models/m/model.tar.gz",
        "Environment": {"NAME": "Round"},
    }
    assert there["ExecutionRoleArn"] == hosting.role and there["EnableNetworkIsolation"] is False
    assert "VpcConfig" not in there and "Containers" not in there
    assert refused(hosting.sm.create_model, ModelName="Round", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=hosting.role) == (
        "ValidationException",
        f'Cannot create already existing model "{PREFIX}model/round".',
    )
    hosting.sm.delete_model(ModelName="Round")
    gone = ("ValidationException", f'Could not find model "{PREFIX}model/round".')
    assert refused(hosting.sm.describe_model, ModelName="Round") == gone
    assert refused(hosting.sm.delete_model, ModelName="Round") == gone


DIRECT = {"InferenceExecutionConfig": {"Mode": "Direct"}}
MANY = {"Mode": "MultiModel", "ModelDataUrl": "s3://models/many/"}


def named(hostname, **more):
    return {"Image": IMAGE, "ContainerHostname": hostname, **more}


def test_containers_come_back_as_they_were_given(hosting):
    for containers in ([{"Image": IMAGE}], [named(f"c{n}") for n in range(15)], [named("pre"), named("many", **MANY)]):
        hosting.sm.create_model(ModelName="together", Containers=containers, ExecutionRoleArn=hosting.role)
        there = hosting.sm.describe_model(ModelName="together")
        assert there["Containers"] == [{"Mode": "SingleModel", **c} for c in containers] and "PrimaryContainer" not in there
        hosting.sm.delete_model(ModelName="together")


@pytest.mark.parametrize(
    "change, text",
    [
        (
            {"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://models/none.tar.gz"}},
            "Could not find model data at s3://models/none.tar.gz.",
        ),
        (
            {"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://no-such-bucket-x/k"}},
            "Could not find model data at s3://no-such-bucket-x/k.",
        ),
        (
            {"PrimaryContainer": {"Image": "1.dkr.ecr.us-east-1.amazonaws.com/none:1"}},
            "Requested image 1.dkr.ecr.us-east-1.amazonaws.com/none:1 not found.",
        ),
        ({"PrimaryContainer": {"Image": IMAGE}, "Containers": [{"Image": IMAGE}]}, "either PrimaryContainer or Containers"),
        ({}, "either PrimaryContainer or Containers"),
        ({"PrimaryContainer": {}}, "must have an Image"),
        ({"PrimaryContainer": {"Image": IMAGE, "Mode": "MultiModel"}}, "ModelDataUrl is required"),
        ({"PrimaryContainer": {"Image": IMAGE, "MultiModelConfig": {"ModelCacheSetting": "Disabled"}}}, "MultiModelConfig can only"),
        ({"PrimaryContainer": {"Image": IMAGE}, "InferenceExecutionConfig": {"Mode": "Direct"}}, "InferenceExecutionConfig"),
        ({"Containers": [{"Image": IMAGE}] * 16}, "Member must have length less than or equal to 15"),
        ({"Containers": []}, "either PrimaryContainer or Containers"),
        ({"Containers": [named("a"), named("a")]}, "ContainerHostname must be unique"),
        ({"Containers": [named("a"), {"Image": IMAGE}]}, "must be specified for every container"),
        ({"Containers": [named("a")], **DIRECT}, "2 to 15 Containers"),
        ({"Containers": [{"Image": IMAGE}] * 2, **DIRECT}, "ContainerHostname is required for every container"),
        ({"Containers": [named("a", **MANY), named("b")], **DIRECT}, "not supported with InferenceExecutionConfig Mode Direct"),
        (
            {"Containers": [named("a", **MANY), named("b", **MANY)]},
            "More than one container in MultiModel mode is not supported with inference pipeline.",
        ),
        ({"Containers": [{"Image": IMAGE}, {"Image": IMAGE, "ModelDataUrl": "s3://models/none.tar.gz"}]}, "Could not find model data"),
        ({"PrimaryContainer": {"Image": IMAGE}, "ExecutionRoleArn": "arn:aws:iam::123456789012:role/none"}, "role"),
    ],
)
def test_refused(hosting, change, text):
    code, message = refused(hosting.sm.create_model, **{"ModelName": "bad", "ExecutionRoleArn": hosting.role, **change})
    assert code in ("ValidationException", "AccessDeniedException") and text in message
    assert "bad" not in [m["ModelName"] for m in hosting.sm.list_models(NameContains="bad")["Models"]]


def test_a_model_without_a_role_is_for_configurations_that_bring_one(hosting):
    hosting.sm.create_model(ModelName="roleless", PrimaryContainer={"Image": IMAGE})
    assert "ExecutionRoleArn" not in hosting.sm.describe_model(ModelName="roleless")
    row = variant(ModelName="roleless")
    code, message = refused(hosting.sm.create_endpoint_config, EndpointConfigName="roleless", ProductionVariants=[row])
    assert code == "ValidationException" and "has no ExecutionRoleArn" in message
    hosting.sm.create_endpoint_config(EndpointConfigName="roleless", ProductionVariants=[row], ExecutionRoleArn=hosting.role)
    code, message = refused(
        hosting.sm.create_transform_job,
        TransformJobName="roleless",
        ModelName="roleless",
        TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://models/m"}}},
        TransformOutput={"S3OutputPath": "s3://models/o"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    assert code == "ValidationException" and "has no ExecutionRoleArn" in message
    hosting.sm.delete_endpoint_config(EndpointConfigName="roleless")


def test_list(hosting):
    for n in range(3):
        hosting.model(f"listed-{n}")
    page = hosting.sm.list_models(NameContains="LISTED", SortBy="Name", SortOrder="Ascending", MaxResults=2)
    rest = hosting.sm.list_models(NameContains="LISTED", SortBy="Name", SortOrder="Ascending", MaxResults=2, NextToken=page["NextToken"])
    assert [m["ModelName"] for m in page["Models"] + rest["Models"]] == ["listed-0", "listed-1", "listed-2"] and "NextToken" not in rest


def variant(**more):
    return {"VariantName": "v", "ModelName": "mm", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large", **more}


def test_endpoint_config(hosting):
    hosting.model("mm")
    capture = {"InitialSamplingPercentage": 20, "DestinationS3Uri": "s3://models/c", "CaptureOptions": [{"CaptureMode": "Input"}]}
    arn = hosting.sm.create_endpoint_config(
        EndpointConfigName="Conf",
        ProductionVariants=[variant(InitialVariantWeight=0.25)],
        DataCaptureConfig=capture,
        Tags=[{"Key": "k", "Value": "v"}],
    )["EndpointConfigArn"]
    assert arn == f"{PREFIX}endpoint-config/conf"
    there = hosting.sm.describe_endpoint_config(EndpointConfigName="Conf")
    assert there["ProductionVariants"] == [variant(InitialVariantWeight=0.25)] and there["DataCaptureConfig"] == capture
    assert "AsyncInferenceConfig" not in there and "KmsKeyId" not in there
    assert hosting.sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]
    assert refused(hosting.sm.create_endpoint_config, EndpointConfigName="Conf", ProductionVariants=[variant()]) == (
        "ValidationException",
        f'Cannot create already existing endpoint configuration "{arn}".',
    )
    hosting.sm.delete_endpoint_config(EndpointConfigName="Conf")
    assert refused(hosting.sm.describe_endpoint_config, EndpointConfigName="Conf") == (
        "ValidationException",
        f'Could not find endpoint configuration "{arn}".',
    )
    assert (
        refused(hosting.sm.create_endpoint, EndpointName="x", EndpointConfigName="Conf")[1]
        == f'Could not find endpoint configuration "{arn}".'
    )


@pytest.mark.parametrize(
    "variants, more, text",
    [
        ([variant(ModelName="none")], {}, f'Could not find model "{PREFIX}model/none".'),
        ([variant(), variant()], {}, "unique"),
        ([variant(InitialVariantWeight=0)], {}, "InitialVariantWeight above 0"),
        ([{"VariantName": "v", "ModelName": "mm", "InstanceType": "ml.m5.large"}], {}, "InitialInstanceCount"),
        (
            [variant()],
            {"ExplainerConfig": {"ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": "1"}}}}},
            "not built",
        ),
    ],
)
def test_endpoint_config_refused(hosting, variants, more, text):
    hosting.sm.describe_model(ModelName="mm") if "mm" in str(hosting.sm.list_models(NameContains="mm")) else hosting.model("mm")
    code, message = refused(hosting.sm.create_endpoint_config, EndpointConfigName="bad", ProductionVariants=variants, **more)
    assert code == "ValidationException" and text in message


def test_waiters(hosting):
    """EndpointInService must not meet a ValidationException right after create; EndpointDeleted ends with one."""
    quick = {"Delay": 1, "MaxAttempts": 10}
    hosting.model("waited")
    hosting.sm.create_endpoint_config(EndpointConfigName="waited", ProductionVariants=[variant(ModelName="waited")])
    hosting.sm.create_endpoint(EndpointName="waited", EndpointConfigName="waited")
    hosting.sm.get_waiter("endpoint_in_service").wait(EndpointName="waited", WaiterConfig=quick)
    hosting.sm.delete_endpoint(EndpointName="waited")
    hosting.sm.get_waiter("endpoint_deleted").wait(EndpointName="waited", WaiterConfig=quick)
