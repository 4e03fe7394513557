"""Inference components by boto3: models that share an endpoint, real wire, store, engine and splitter; boxes are threads."""

from __future__ import annotations

import threading

import pytest
from botocore.exceptions import ClientError

from modelyard.services.sagemaker.endpoint import usage
from modelyard.services.sagemaker.inference_component.specification import fits
from tests.support.clocks import JumpingClock
from tests.support.hosting import IMAGE, Hosting, eventually, user_with

NEEDS = {"NumberOfCpuCoresRequired": 1, "MinMemoryRequiredInMb": 1024}
NAMES = {"InferenceComponentName": "one", "EndpointName": "e"}


class WithComponents(Hosting):
    kinds = ("endpoint", "inference-component")


@pytest.fixture
def hosting(tmp_path):
    made = WithComponents(tmp_path, clock=JumpingClock())
    yield made
    made.close()


def serve(hosting, count=2, name="e", **more):
    row = {"VariantName": "v", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": count, **more}
    hosting.sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[row], ExecutionRoleArn=hosting.role)
    hosting.sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return hosting.until("InService", name)


def create(hosting, name="one", model=None, copies=1, needs=NEEDS, endpoint="e", **more):
    if model is None:
        model = name
        hosting.model(model)
    specification = {"ModelName": model, "ComputeResourceRequirements": needs}
    return hosting.sm.create_inference_component(
        InferenceComponentName=name,
        EndpointName=endpoint,
        VariantName="v",
        Specification=specification,
        RuntimeConfig={"CopyCount": copies},
        **more,
    )["InferenceComponentArn"]


def until(hosting, status="InService", name="one"):
    def look():
        there = hosting.sm.describe_inference_component(InferenceComponentName=name)
        return there if there["InferenceComponentStatus"] == status else None

    return eventually(look, 10, lambda: hosting.sm.describe_inference_component(InferenceComponentName=name))


def ask(hosting, component="one", body=b"x", **more):
    more = {**({"InferenceComponentName": component} if component else {}), **more}
    return hosting.rt.invoke_endpoint(EndpointName="e", Body=body, **more)["Body"].read().decode()


def refused(function, *arguments, **given):
    with pytest.raises(ClientError) as caught:
        function(*arguments, **given)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def boxes(hosting, name):
    return [b for b in hosting.runtime.running() if b.name == name]


def copies(hosting, name="one"):
    there = hosting.sm.describe_inference_component(InferenceComponentName=name)["RuntimeConfig"]
    return there["DesiredCopyCount"], there["CurrentCopyCount"]


def test_two_models_share_an_endpoint(hosting):
    there = serve(hosting)
    [variant] = there["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (2, 2) and "DeployedImages" not in variant
    arn = create(hosting, copies=2, Tags=[{"Key": "team", "Value": "a"}])
    create(hosting, "two")
    assert arn == "arn:aws:sagemaker:us-east-1:123456789012:inference-component/one"
    there = until(hosting)
    assert (there["EndpointName"], there["VariantName"], there["RuntimeConfig"]) == (
        "e",
        "v",
        {"DesiredCopyCount": 2, "CurrentCopyCount": 2},
    )
    assert there["Specification"]["ModelName"] == "one" and there["Specification"]["ComputeResourceRequirements"] == NEEDS
    assert there["Specification"]["Container"]["DeployedImage"]["SpecifiedImage"] == IMAGE
    until(hosting, name="two")
    assert {ask(hosting) for _ in range(10)} == {"one:x"} and ask(hosting, "two") == "two:x"
    assert sorted(b.requests for b in boxes(hosting, "one")) == [5, 5]
    assert ask(hosting, "one", b"headers").count("x-amzn-sagemaker-inference-component") == 1
    stream = hosting.rt.invoke_endpoint_with_response_stream(EndpointName="e", InferenceComponentName="two", Body=b"parts a b")["Body"]
    assert b"".join(e["PayloadPart"]["Bytes"] for e in stream) == b"ab"
    assert hosting.sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "a"}]
    groups = hosting.yard.client("logs").describe_log_groups(logGroupNamePrefix="/aws/sagemaker/InferenceComponents/")["logGroups"]
    assert {g["logGroupName"].rpartition("/")[2] for g in groups} == {"one", "two"}


def test_copies_to_zero_and_back(hosting):
    serve(hosting)
    create(hosting)
    until(hosting)

    def resize(count):
        hosting.sm.update_inference_component_runtime_config(InferenceComponentName="one", DesiredRuntimeConfig={"CopyCount": count})
        assert hosting.sm.describe_inference_component(InferenceComponentName="one")["InferenceComponentStatus"] in (
            "Updating",
            "InService",
        )
        eventually(lambda: copies(hosting) == (count, count))
        until(hosting)

    resize(3)
    assert len(boxes(hosting, "one")) == 3
    resize(0)
    eventually(lambda: not boxes(hosting, "one"))
    code, message = refused(ask, hosting)
    assert code == "ValidationError" and message.startswith("Inference Component has no capacity to process this request.")
    resize(1)
    assert ask(hosting) == "one:x"


def test_one_may_begin_with_no_copy(hosting):
    serve(hosting)
    create(hosting, copies=0)
    assert until(hosting)["RuntimeConfig"] == {"DesiredCopyCount": 0, "CurrentCopyCount": 0}
    assert not hosting.runtime.running()


def test_a_new_model_without_a_failed_call(hosting):
    serve(hosting)
    create(hosting)
    until(hosting)
    hosting.model("better")
    answers, over = [], threading.Event()

    def load():
        while not over.is_set():
            try:
                answers.append(ask(hosting))
            except Exception as problem:
                answers.append(repr(problem))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        hosting.sm.update_inference_component(InferenceComponentName="one", Specification={"ModelName": "better"})
        eventually(lambda: "better:x" in answers)
        until(hosting)
    finally:
        over.set()
        thread.join(10)
    assert set(answers) == {"one:x", "better:x"}
    eventually(lambda: not boxes(hosting, "one"))
    there = hosting.sm.describe_inference_component(InferenceComponentName="one")
    assert there["Specification"]["ModelName"] == "better" and there["Specification"]["ComputeResourceRequirements"] == NEEDS


def test_a_rolling_update_that_fails_goes_back(hosting):
    serve(hosting)
    create(hosting, copies=2)
    until(hosting)
    hosting.model("broken", START="crash")
    rolling = {"MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1}, "WaitIntervalInSeconds": 0}
    hosting.sm.update_inference_component(
        InferenceComponentName="one", Specification={"ModelName": "broken"}, DeploymentConfig={"RollingUpdatePolicy": rolling}
    )
    eventually(lambda: "FailureReason" in hosting.sm.describe_inference_component(InferenceComponentName="one"))
    there = until(hosting)
    assert there["Specification"]["ModelName"] == "one" and there["LastDeploymentConfig"] == {"RollingUpdatePolicy": rolling}
    assert ask(hosting) == "one:x" and copies(hosting) == (2, 2)


def test_a_copy_that_cannot_start_fails_the_component_and_nobody_else(hosting):
    serve(hosting)
    create(hosting)
    until(hosting)
    hosting.model("broken", START="crash")
    create(hosting, "two", model="broken")
    assert "ping health check" in until(hosting, "Failed", "two")["FailureReason"]
    assert ask(hosting) == "one:x"
    hosting.sm.delete_inference_component(InferenceComponentName="two")
    eventually(lambda: len(hosting.sm.list_inference_components()["InferenceComponents"]) == 1)


def test_a_copy_that_dies_comes_again(hosting):
    serve(hosting)
    create(hosting, copies=2)
    until(hosting)
    boxes(hosting, "one")[0].end(137)
    for _ in range(20):
        assert ask(hosting) == "one:x"
    eventually(lambda: len(boxes(hosting, "one")) == 2)


def test_a_container_instead_of_a_model(hosting):
    serve(hosting)
    container = {"Image": IMAGE, "ArtifactUrl": "s3://models/m/model.tar.gz", "Environment": {"NAME": "own"}}
    hosting.sm.create_inference_component(
        **NAMES,
        VariantName="v",
        Specification={"Container": container, "ComputeResourceRequirements": NEEDS},
        RuntimeConfig={"CopyCount": 1},
    )
    there = until(hosting)["Specification"]["Container"]
    assert there["ArtifactUrl"] == container["ArtifactUrl"] and there["Environment"] == {"NAME": "own"}
    assert ask(hosting) == "own:x"


def test_delete(hosting):
    serve(hosting)
    create(hosting)
    until(hosting)
    code, message = refused(hosting.sm.delete_endpoint, EndpointName="e")
    assert code == "ValidationException" and "hosts the inference component(s) one" in message
    hosting.sm.delete_inference_component(InferenceComponentName="one")
    eventually(lambda: not hosting.sm.list_inference_components()["InferenceComponents"])
    assert not hosting.runtime.running()
    code, message = refused(ask, hosting)
    assert code == "ValidationError" and "Inference component one" in message and "not found" in message
    hosting.sm.delete_endpoint(EndpointName="e")
    eventually(lambda: not hosting.sm.list_endpoints()["Endpoints"])


def test_an_update_of_the_endpoint_leaves_components_alone(hosting):
    serve(hosting)
    create(hosting)
    until(hosting)
    [before] = boxes(hosting, "one")
    change = [{"VariantName": "v", "DesiredInstanceCount": 3}]
    hosting.sm.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=change)
    assert hosting.until("InService")["ProductionVariants"][0]["CurrentInstanceCount"] == 3
    assert boxes(hosting, "one") == [before] and ask(hosting) == "one:x"
    hosting.model("m")
    row = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
    hosting.sm.create_endpoint_config(EndpointConfigName="plain", ProductionVariants=[row])
    assert "hosts the inference component(s) one" in refused(hosting.sm.update_endpoint, EndpointName="e", EndpointConfigName="plain")[1]


def test_list(hosting):
    serve(hosting)
    serve(hosting, name="f")
    for name, endpoint in (("one", "e"), ("two", "e"), ("three", "f")):
        create(hosting, name, endpoint=endpoint)
        until(hosting, name=name)

    def names(**given):
        return [c["InferenceComponentName"] for c in hosting.sm.list_inference_components(**given)["InferenceComponents"]]

    assert names() == ["three", "two", "one"] and names(EndpointNameEquals="e") == ["two", "one"]
    assert names(EndpointNameEquals="e", VariantNameEquals="w") == [] and names(NameContains="t", StatusEquals="InService") == [
        "three",
        "two",
    ]
    page = hosting.sm.list_inference_components(EndpointNameEquals="e", MaxResults=1, SortBy="Name", SortOrder="Ascending")
    assert page["InferenceComponents"][0]["InferenceComponentName"] == "one"
    more = hosting.sm.list_inference_components(
        EndpointNameEquals="e", MaxResults=1, SortBy="Name", SortOrder="Ascending", NextToken=page["NextToken"]
    )
    assert more["InferenceComponents"][0]["InferenceComponentName"] == "two" and "NextToken" not in more


def test_metrics(hosting):
    serve(hosting)
    create(hosting, copies=2)
    until(hosting)
    for _ in range(10):
        ask(hosting)
    refused(ask, hosting, "one", b"status 500 no")

    def total(metric, **names):
        dimensions, now = [{"Name": k, "Value": v} for k, v in names.items()], hosting.platform.clock.now()
        found = hosting.platform.metrics.buckets(
            "123456789012", "us-east-1", "AWS/SageMaker", metric, dimensions, now - 600, now + 600, 1e12
        )
        return found[0].total if found else 0

    eventually(lambda: total("Invocations", InferenceComponentName="one") == 11)
    assert total("InvocationsPerCopy", InferenceComponentName="one") == pytest.approx(5.5)
    assert total("Invocation5XXErrors", InferenceComponentName="one") == 1
    assert total("ModelLatency", InferenceComponentName="one") > 0
    assert total("Invocations", EndpointName="e", VariantName="v") == 11
    eventually(lambda: total("ConcurrentRequestsPerCopy", InferenceComponentName="one") >= 1)
    usage.measure(hosting.platform)
    found = hosting.yard.client("cloudwatch").list_metrics(Namespace="/aws/sagemaker/InferenceComponents")["Metrics"]
    assert {m["MetricName"] for m in found} == {"MemoryUtilization"}, "CPU is a rate, known from the second look on"
    assert found[0]["Dimensions"] == [{"Name": "InferenceComponentName", "Value": "one"}]
    hosting.sm.update_inference_component_runtime_config(InferenceComponentName="one", DesiredRuntimeConfig={"CopyCount": 0})
    until(hosting)
    refused(ask, hosting)
    eventually(lambda: total("NoCapacityInvocationFailures", InferenceComponentName="one") == 1)
    assert total("Invocation4XXErrors", InferenceComponentName="one") == 1


# --- bad input -----------------------------------------------------------------------------------------


def test_what_is_refused(hosting):
    serve(hosting, count=1)
    hosting.model("m")
    good = {"Specification": {"ModelName": "m", "ComputeResourceRequirements": NEEDS}, "RuntimeConfig": {"CopyCount": 1}}
    for change, says in (
        ({"EndpointName": "nobody"}, "Could not find endpoint"),
        ({"VariantName": "w"}, "must be a production variant of endpoint e, which has v"),
        ({"Specification": {"ModelName": "m"}}, "ComputeResourceRequirements is required"),
        ({"Specification": {"ModelName": "gone", "ComputeResourceRequirements": NEEDS}}, "Could not find model"),
        ({"Specification": {"ComputeResourceRequirements": NEEDS}}, "either a ModelName or a Container"),
        ({"Specification": {"BaseInferenceComponentName": "base"}}, "not built yet"),
        ({"Specification": {"ModelName": "m", "ComputeResourceRequirements": {**NEEDS, "MaxMemoryRequiredInMb": 512}}}, "must not be less"),
        ({"Specification": {"Container": {"Image": "nothing:1"}, "ComputeResourceRequirements": NEEDS}}, "not found"),
        ({"RuntimeConfig": {"CopyCount": 5}}, "Insufficient resources for 5 copies"),
        (
            {"Specification": {"ModelName": "m", "ComputeResourceRequirements": {**NEEDS, "NumberOfAcceleratorDevicesRequired": 1}}},
            "and 0 accelerators each",
        ),
    ):
        code, message = refused(hosting.sm.create_inference_component, **{**NAMES, "VariantName": "v", **good, **change})
        assert code == "ValidationException" and says in message, message
    assert not hosting.sm.list_inference_components()["InferenceComponents"]
    create(hosting)
    until(hosting)
    assert "Cannot create already existing inference component" in refused(create, hosting, model="m")[1]
    resize = {"InferenceComponentName": "one", "DesiredRuntimeConfig": {"CopyCount": 9}}
    assert "Insufficient resources for 9 copies" in refused(hosting.sm.update_inference_component_runtime_config, **resize)[1]
    for operation in (hosting.sm.describe_inference_component, hosting.sm.delete_inference_component):
        assert "Could not find inference component" in refused(operation, InferenceComponentName="nobody")[1]
    code, message = refused(ask, hosting, None)
    assert code == "ValidationError" and message.startswith("Inference Component Name header is required")


def test_endpoints_with_models_have_no_components(hosting):
    hosting.deploy("e", "m")
    assert "has a model" in refused(hosting.sm.create_inference_component, **NAMES, VariantName="m")[1]
    assert "not found" in refused(ask, hosting, "one")[1]
    row = {"VariantName": "v", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
    code, message = refused(hosting.sm.create_endpoint_config, EndpointConfigName="c", ProductionVariants=[row])
    assert code == "ValidationException" and "ModelName is required for variant v" in message
    both = [row, {**row, "VariantName": "w", "ModelName": "m"}]
    said = refused(hosting.sm.create_endpoint_config, EndpointConfigName="c", ProductionVariants=both, ExecutionRoleArn=hosting.role)
    assert "for every variant or for none" in said[1]


def test_a_component_of_another_endpoint_is_not_found(hosting):
    serve(hosting)
    serve(hosting, name="f")
    create(hosting)
    until(hosting)
    with pytest.raises(ClientError, match="not found on endpoint f"):
        hosting.rt.invoke_endpoint(EndpointName="f", InferenceComponentName="one", Body=b"x")


def test_permissions(hosting):
    serve(hosting)
    create(hosting)
    until(hosting)
    arn = "arn:aws:sagemaker:us-east-1:123456789012:inference-component/one"
    client = user_with(hosting, "sagemaker", {"Action": "sagemaker:DescribeInferenceComponent", "Resource": arn})
    assert client.describe_inference_component(InferenceComponentName="one")
    assert refused(client.describe_inference_component, InferenceComponentName="two")[0] == "AccessDeniedException"
    resize = {"InferenceComponentName": "one", "DesiredRuntimeConfig": {"CopyCount": 0}}
    for operation, given in (
        (client.update_inference_component_runtime_config, resize),
        (client.update_inference_component, {"InferenceComponentName": "one"}),
        (client.delete_inference_component, {"InferenceComponentName": "one"}),
        (client.create_inference_component, NAMES),
        (client.list_inference_components, {}),
    ):
        assert refused(operation, **given)[0] == "AccessDeniedException"
    assert copies(hosting) == (1, 1)


def test_first_fit():
    room = (4.0, 16, 1.0)
    assert fits([(1.0, 4, 0.0)] * 8, room, 2) and not fits([(1.0, 4, 0.0)] * 9, room, 2)
    assert fits([(3.0, 1, 0.0), (3.0, 1, 0.0), (1.0, 12, 0.0), (1.0, 12, 0.0)], room, 2)
    assert not fits([(1.0, 1, 1.0)] * 2, room, 1) and fits([], room, 0)
