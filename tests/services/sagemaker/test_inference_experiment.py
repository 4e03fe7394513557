"""Inference experiments by boto3: real wire, store, engine, splitter and endpoints; boxes are threads, the clock is the test's."""

from __future__ import annotations

import time

import pytest
from botocore.exceptions import ClientError

from modelyard import app
from tests.support.clocks import JumpingClock
from tests.support.hosting import Hosting, eventually

DAY = 86400


class WithExperiments(Hosting):
    kinds = ("endpoint", "inference-experiment")


@pytest.fixture
def hosting(tmp_path):
    made = WithExperiments(tmp_path, clock=JumpingClock())
    yield made
    made.close()


def variant(name, count=1, **more):
    config = {"InstanceType": "ml.m5.large", "InstanceCount": count, **more}
    infrastructure = {"InfrastructureType": "RealTimeInference", "RealTimeInferenceConfig": config}
    return {"ModelName": name, "VariantName": name, "InfrastructureConfig": infrastructure}


def shadow(percent=100, of="live", name="candidate"):
    return {"SourceModelVariantName": of, "ShadowModelVariants": [{"ShadowModelVariantName": name, "SamplingPercentage": percent}]}


def request(hosting, **more):
    return {
        "Name": "test",
        "Type": "ShadowMode",
        "RoleArn": hosting.role,
        "EndpointName": "e",
        "ModelVariants": [variant("live"), variant("candidate")],
        "ShadowModeConfig": shadow(),
        **more,
    }


def serve(hosting):
    hosting.deploy("e", "live")
    hosting.model("candidate")


def create(hosting, **more):
    return hosting.sm.create_inference_experiment(**request(hosting, **more))["InferenceExperimentArn"]


def describe(hosting):
    app.event_bus(hosting.platform).drain()
    return hosting.sm.describe_inference_experiment(Name="test")


def until(hosting, status):
    def look():
        there = describe(hosting)
        return there if there["Status"] == status else None

    return eventually(look, 15, lambda: describe(hosting))


def advance(hosting, seconds):
    hosting.platform.clock.advance(seconds)
    hosting.engine.ring()


def call(hosting, count=1):
    for number in range(count):
        answer = hosting.rt.invoke_endpoint(EndpointName="e", Body=f"{number}".encode())
        yield answer["InvokedProductionVariant"], answer["Body"].read().decode().partition(":")[0]


def requests(hosting, name):
    return sum(b.requests for b in hosting.runtime.running() if b.name == name)


def refused(function, **given):
    with pytest.raises(ClientError) as caught:
        function(**given)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def statuses(hosting):
    record = hosting.platform.store.by_arn("arn:aws:sagemaker:us-east-1:123456789012:inference-experiment/test")
    found = [event.new for event in hosting.platform.store.events_of(record.uid)]
    return [status for number, status in enumerate(found) if number == 0 or status != found[number - 1]]


# --- the walk --------------------------------------------------------------------------------------


def test_an_experiment_runs_at_once_for_seven_days_and_leaves_the_endpoint_as_it_was(hosting):
    serve(hosting)
    arn = create(hosting, Description="is it better?", Tags=[{"Key": "team", "Value": "a"}])
    assert arn == "arn:aws:sagemaker:us-east-1:123456789012:inference-experiment/test"
    there = until(hosting, "Running")
    assert (there["Arn"], there["Type"], there["Description"], there["RoleArn"]) == (arn, "ShadowMode", "is it better?", hosting.role)
    assert (there["Schedule"]["EndTime"] - there["Schedule"]["StartTime"]).total_seconds() == pytest.approx(7 * DAY, abs=30)
    assert there["EndpointMetadata"]["EndpointName"] == "e" and there["EndpointMetadata"]["EndpointStatus"] == "InService"
    assert [(v["VariantName"], v["Status"]) for v in there["ModelVariants"]] == [("live", "InService"), ("candidate", "InService")]
    assert there["ShadowModeConfig"] == shadow()
    assert set(call(hosting, 20)) == {("live", "live")}
    eventually(lambda: requests(hosting, "candidate") == 20)

    advance(hosting, 7 * DAY)
    there = until(hosting, "Completed")
    assert "StatusReason" not in there and there["CompletionTime"] >= there["CreationTime"]
    assert [(v["VariantName"], v["Status"]) for v in there["ModelVariants"]] == [("live", "InService"), ("candidate", "Deleted")]
    endpoint = hosting.sm.describe_endpoint(EndpointName="e")
    assert endpoint["EndpointConfigName"] == "e" and "ShadowProductionVariants" not in endpoint
    assert statuses(hosting) == ["Creating", "Created", "Starting", "Running", "Stopping", "Completed"]
    assert set(call(hosting, 3)) == {("live", "live")}
    assert hosting.sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "a"}]


def test_a_schedule_runs_on_the_platform_clock(hosting):
    serve(hosting)
    now = hosting.platform.clock.now()
    create(hosting, Schedule={"StartTime": now + DAY, "EndTime": now + 3 * DAY}, ShadowModeConfig=shadow(50))
    there = until(hosting, "Created")
    assert [v["Status"] for v in there["ModelVariants"]] == ["InService", "InService"], "the shadow is up before its time"
    list(call(hosting, 10))
    assert requests(hosting, "live") == 10 and requests(hosting, "candidate") == 0
    advance(hosting, DAY)
    there = until(hosting, "Running")
    assert hosting.sm.describe_endpoint(EndpointName="e")["ShadowProductionVariants"][0]["CurrentWeight"] == 0.5
    list(call(hosting, 200))
    eventually(lambda: requests(hosting, "candidate") > 0)
    assert 100 - 4 * 7.1 < requests(hosting, "candidate") < 100 + 4 * 7.1
    advance(hosting, 2 * DAY)
    until(hosting, "Completed")


def test_start_before_its_time(hosting):
    serve(hosting)
    now = hosting.platform.clock.now()
    create(hosting, Schedule={"StartTime": now + 20 * DAY, "EndTime": now + 45 * DAY})
    until(hosting, "Created")
    assert hosting.sm.start_inference_experiment(Name="test")["InferenceExperimentArn"].endswith("/test")
    there = until(hosting, "Running")
    assert (there["Schedule"]["EndTime"] - there["Schedule"]["StartTime"]).total_seconds() == pytest.approx(30 * DAY, abs=30)
    assert refused(hosting.sm.start_inference_experiment, Name="test")[0] == "ConflictException"


def test_an_endpoint_is_made_where_there_is_none(hosting):
    hosting.model("live")
    hosting.model("candidate")
    create(hosting)
    until(hosting, "Running")
    list(call(hosting, 5))
    eventually(lambda: requests(hosting, "candidate") == 5)
    advance(hosting, 7 * DAY)
    until(hosting, "Completed")
    endpoint = hosting.sm.describe_endpoint(EndpointName="e")
    assert [v["VariantName"] for v in endpoint["ProductionVariants"]] == ["live"] and "ShadowProductionVariants" not in endpoint


def test_only_the_shadow_need_be_given_on_an_endpoint_that_has_the_other(hosting):
    serve(hosting)
    create(hosting, ModelVariants=[variant("candidate")])
    there = until(hosting, "Running")
    assert [v["VariantName"] for v in there["ModelVariants"]] == ["live", "candidate"]


def test_weights_and_counts_changed_since_come_back(hosting):
    serve(hosting)
    change = [{"VariantName": "live", "DesiredInstanceCount": 2}]
    hosting.sm.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=change)
    hosting.until("InService")
    create(hosting, ModelVariants=[variant("candidate")])
    until(hosting, "Running")
    advance(hosting, 7 * DAY)
    until(hosting, "Completed")
    assert hosting.sm.describe_endpoint(EndpointName="e")["ProductionVariants"][0]["CurrentInstanceCount"] == 2


# --- stop ------------------------------------------------------------------------------------------


def stop(hosting, actions, **more):
    return hosting.sm.stop_inference_experiment(Name="test", ModelVariantActions=actions, **more)


def running(hosting, **more):
    serve(hosting)
    create(hosting, **more)
    until(hosting, "Running")


def test_promote(hosting):
    running(hosting)
    stop(hosting, {"live": "Remove", "candidate": "Promote"}, DesiredState="Completed", Reason="it is better")
    assert hosting.sm.describe_inference_experiment(Name="test")["Status"] in ("Stopping", "Completed")
    there = until(hosting, "Completed")
    assert there["StatusReason"] == "it is better"
    assert [(v["VariantName"], v["Status"]) for v in there["ModelVariants"]] == [("live", "Deleted"), ("candidate", "InService")]
    assert set(call(hosting, 5)) == {("candidate", "candidate")}
    eventually(lambda: {b.name for b in hosting.runtime.running()} == {"candidate"})


def test_promote_at_another_size(hosting):
    running(hosting)
    stop(hosting, {"candidate": "Promote"}, DesiredModelVariants=[variant("candidate", 2)])
    until(hosting, "Cancelled")
    [serving] = hosting.sm.describe_endpoint(EndpointName="e")["ProductionVariants"]
    assert (serving["VariantName"], serving["CurrentInstanceCount"]) == ("candidate", 2)


def test_remove_the_shadow(hosting):
    running(hosting)
    stop(hosting, {"live": "Retain", "candidate": "Remove"})
    there = until(hosting, "Cancelled")
    assert "StatusReason" not in there, "stopped early without a reason"
    endpoint = hosting.sm.describe_endpoint(EndpointName="e")
    assert endpoint["EndpointConfigName"] == "e" and "ShadowProductionVariants" not in endpoint


def test_retain_both(hosting):
    running(hosting, ShadowModeConfig=shadow(40))
    stop(hosting, {"live": "Retain", "candidate": "Retain"}, DesiredState="Completed")
    until(hosting, "Completed")
    endpoint = hosting.sm.describe_endpoint(EndpointName="e")
    assert endpoint["ShadowProductionVariants"][0]["CurrentWeight"] == 0.4


def test_retain_both_at_other_sizes(hosting):
    running(hosting, ShadowModeConfig=shadow(40))
    desired = [variant("live", 2), variant("candidate", 1)]
    stop(hosting, {"live": "Retain", "candidate": "Retain"}, DesiredModelVariants=desired)
    until(hosting, "Cancelled")
    endpoint = hosting.sm.describe_endpoint(EndpointName="e")
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert endpoint["ShadowProductionVariants"][0]["CurrentWeight"] == 0.4


def test_one_that_never_started_can_be_stopped(hosting):
    serve(hosting)
    create(hosting, Schedule={"StartTime": hosting.platform.clock.now() + DAY})
    until(hosting, "Created")
    stop(hosting, {"candidate": "Remove"})
    until(hosting, "Cancelled")
    assert "ShadowProductionVariants" not in hosting.sm.describe_endpoint(EndpointName="e")


def test_actions_that_cannot_be(hosting):
    running(hosting)
    for actions, says in (
        ({"nobody": "Retain"}, "has no model variant nobody"),
        ({"live": "Promote"}, "for production variant live can be Retain or Remove"),
        ({"live": "Retain", "candidate": "Promote"}, "cannot both be done"),
        ({"live": "Remove", "candidate": "Remove"}, "cannot both be done"),
    ):
        code, message = refused(stop, hosting=hosting, actions=actions)
        assert code == "ValidationException" and says in message
    assert describe(hosting)["Status"] == "Running"


def test_desired_variants_that_cannot_be(hosting):
    running(hosting)
    for desired, says in (
        ([variant("nobody")], "no model variant nobody"),
        ([variant("candidate")], "is to be removed"),
        ([variant("live", 0)], "at least 1"),
        ([variant("live"), variant("live")], "named once"),
    ):
        code, message = refused(stop, hosting=hosting, actions={"candidate": "Remove"}, DesiredModelVariants=desired)
        assert code == "ValidationException" and says in message


# --- update, delete, list ----------------------------------------------------------------------------


def test_update_before_the_start(hosting):
    serve(hosting)
    hosting.model("other")
    now = hosting.platform.clock.now()
    create(hosting, Schedule={"StartTime": now + DAY, "EndTime": now + 2 * DAY})
    until(hosting, "Created")
    hosting.sm.update_inference_experiment(
        Name="test",
        Description="another one",
        Schedule={"StartTime": now + 2 * DAY, "EndTime": now + 3 * DAY},
        ModelVariants=[variant("other", 2)],
        ShadowModeConfig=shadow(30, name="other"),
    )
    assert hosting.sm.describe_inference_experiment(Name="test")["Status"] in ("Updating", "Created")
    there = until(hosting, "Created")
    assert there["Description"] == "another one" and there["Schedule"]["StartTime"].timestamp() == pytest.approx(now + 2 * DAY, abs=1)
    assert [v["VariantName"] for v in there["ModelVariants"]] == ["live", "other"]
    endpoint = hosting.sm.describe_endpoint(EndpointName="e")
    assert [(v["VariantName"], v["CurrentInstanceCount"]) for v in endpoint["ShadowProductionVariants"]] == [("other", 2)]
    advance(hosting, 2 * DAY)
    until(hosting, "Running")


def test_update_while_it_runs(hosting):
    running(hosting)
    started = describe(hosting)["Schedule"]["StartTime"].timestamp()
    hosting.sm.update_inference_experiment(
        Name="test", Description="shorter", Schedule={"EndTime": started + DAY}, ShadowModeConfig=shadow(25)
    )
    assert describe(hosting)["Status"] in ("Updating", "Running")
    eventually(lambda: "Updating" in statuses(hosting))
    there = until(hosting, "Running")
    assert there["ShadowModeConfig"] == shadow(25) and there["Description"] == "shorter"
    assert hosting.sm.describe_endpoint(EndpointName="e")["ShadowProductionVariants"][0]["CurrentWeight"] == 0.25
    for change, says in (
        ({"ModelVariants": [variant("candidate", 2)]}, "only its description"),
        ({"DataStorageConfig": {"Destination": "s3://somewhere/else"}}, "only its description"),
        ({"Schedule": {"StartTime": started + 60}}, "StartTime cannot be changed"),
        ({"Schedule": {"EndTime": started + 31 * DAY}}, "at most 30 days"),
        ({"ShadowModeConfig": shadow(10, of="candidate", name="live")}, "source variant"),
    ):
        code, message = refused(hosting.sm.update_inference_experiment, Name="test", **change)
        assert code == "ValidationException" and says in message
    advance(hosting, DAY)
    until(hosting, "Completed")
    assert refused(hosting.sm.update_inference_experiment, Name="test", Description="late")[0] == "ConflictException"


def test_delete_forgets_the_test_and_leaves_the_endpoint(hosting):
    running(hosting)
    code, message = refused(hosting.sm.delete_inference_experiment, Name="test")
    assert code == "ConflictException" and "in status Running" in message
    stop(hosting, {"candidate": "Remove"})
    until(hosting, "Cancelled")
    assert hosting.sm.delete_inference_experiment(Name="test")["InferenceExperimentArn"].endswith("/test")
    code, message = refused(hosting.sm.describe_inference_experiment, Name="test")
    assert code == "ResourceNotFound" and "test" in message
    assert hosting.sm.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"
    create(hosting)
    until(hosting, "Running")


def test_list(hosting):
    serve(hosting)
    later = {"StartTime": hosting.platform.clock.now() + DAY}
    create(hosting, Schedule=later)
    until(hosting, "Created")
    create(hosting, Name="second", EndpointName="f", Schedule=later)
    rows = hosting.sm.list_inference_experiments()["InferenceExperiments"]
    assert [r["Name"] for r in rows] == ["second", "test"]
    assert rows[1]["Status"] == "Created" and rows[1]["RoleArn"] == hosting.role
    one = hosting.sm.list_inference_experiments(NameContains="tes", Type="ShadowMode", StatusEquals="Created")["InferenceExperiments"]
    assert [r["Name"] for r in one] == ["test"]
    pages = hosting.sm.list_inference_experiments(SortBy="Name", SortOrder="Ascending", MaxResults=1)
    assert pages["InferenceExperiments"][0]["Name"] == "second"
    more = hosting.sm.list_inference_experiments(SortBy="Name", SortOrder="Ascending", MaxResults=1, NextToken=pages["NextToken"])
    assert more["InferenceExperiments"][0]["Name"] == "test" and "NextToken" not in more


# --- what is captured ------------------------------------------------------------------------------


def test_data_is_stored_while_the_test_runs(hosting):
    serve(hosting)
    hosting.s3.create_bucket(Bucket="captured")
    create(hosting, DataStorageConfig={"Destination": "s3://captured/pairs", "ContentType": {"CsvContentTypes": ["text/csv"]}})
    there = until(hosting, "Running")
    assert there["DataStorageConfig"]["Destination"] == "s3://captured/pairs"
    list(call(hosting, 4))

    def stored():
        hosting.platform.clock.advance(20)
        rows = hosting.s3.list_objects_v2(Bucket="captured").get("Contents", [])
        return {name for name in ("live", "candidate") for r in rows if r["Key"].startswith(f"pairs/e/{name}/")}

    eventually(lambda: stored() == {"live", "candidate"})
    stop(hosting, {"candidate": "Remove"})
    until(hosting, "Cancelled")
    assert "DataCaptureConfig" not in hosting.sm.describe_endpoint(EndpointName="e")


# --- bad input ---------------------------------------------------------------------------------------


BAD_INPUT = [
    ({"ModelVariants": [variant("live")]}, "must be the two variants"),
    ({"ModelVariants": [variant("live"), variant("other")]}, "live, other"),
    ({"ModelVariants": [variant("live"), variant("candidate", 0)]}, "InstanceCount of variant candidate must be at least 1"),
    ({"ModelVariants": [variant("live"), variant("candidate", InstanceType="ml.inf1.xlarge")]}, "Inf1"),
    ({"ModelVariants": [variant("live"), {**variant("candidate"), "ModelName": "gone"}]}, "Could not find model"),
    ({"ShadowModeConfig": shadow(of="candidate", name="live")}, "production variant of endpoint e, which is live"),
    ({"ShadowModeConfig": shadow(name="live")}, "cannot be both"),
    ({"ShadowModeConfig": shadow(-1)}, "between 0 and 100"),
    ({"ShadowModeConfig": shadow(101)}, "SamplingPercentage|samplingPercentage|less than or equal to 100"),
    ({"Schedule": {"EndTime": 1.0}}, "EndTime"),
    ({"Schedule": {"EndTime": time.time() + 31 * DAY}}, "30 days at most"),
    ({"DataStorageConfig": {"Destination": "https://bucket/key"}}, "S3 URI"),
    ({"RoleArn": "arn:aws:iam::123456789012:role/nobody"}, "nobody"),
]


def test_bad_input(hosting):
    serve(hosting)
    for change, says in BAD_INPUT:
        with pytest.raises(ClientError, match=says) as caught:
            hosting.sm.create_inference_experiment(**request(hosting, **change))
        assert caught.value.response["Error"]["Code"] == "ValidationException", change
    assert not hosting.sm.list_inference_experiments()["InferenceExperiments"]
    assert hosting.sm.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"


def test_names_and_endpoints_are_taken(hosting):
    running(hosting)
    assert refused(create, hosting=hosting)[0] == "ResourceInUse"
    code, message = refused(create, hosting=hosting, Name="second")
    assert code == "ResourceInUse" and "has an inference experiment that has not ended yet: test" in message


def test_endpoints_that_cannot_have_a_shadow(hosting):
    hosting.deploy("e", "live", "second")
    hosting.model("candidate")
    code, message = refused(create, hosting=hosting, ModelVariants=[variant("candidate")])
    assert code == "ValidationException" and "can have one production variant; endpoint e has 2" in message


def test_endpoints_of_other_kinds_cannot_have_a_shadow(hosting):
    hosting.model("live")
    hosting.model("candidate")
    serverless = {"VariantName": "live", "ModelName": "live", "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 2}}
    host = {"VariantName": "live", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    plain = {**host, "ModelName": "live"}
    output = {"OutputConfig": {"S3OutputPath": "s3://models/out"}}
    for row, more, says in (
        (serverless, {}, "endpoint e is serverless"),
        (host, {"ExecutionRoleArn": hosting.role}, "endpoint e hosts inference components"),
        (plain, {"AsyncInferenceConfig": output}, "endpoint e is asynchronous"),
    ):
        hosting.sm.create_endpoint_config(EndpointConfigName="e", ProductionVariants=[row], **more)
        hosting.sm.create_endpoint(EndpointName="e", EndpointConfigName="e")
        hosting.until("InService")
        code, message = refused(create, hosting=hosting)
        assert code == "ValidationException" and says in message
        hosting.sm.delete_endpoint(EndpointName="e")
        hosting.sm.delete_endpoint_config(EndpointConfigName="e")
        eventually(lambda: not hosting.sm.list_endpoints()["Endpoints"])


def test_operations_on_one_that_is_not_there(hosting):
    for operation, more in (
        ("start", {}),
        ("stop", {"ModelVariantActions": {"a": "Retain"}}),
        ("update", {}),
        ("delete", {}),
        ("describe", {}),
    ):
        code, message = refused(getattr(hosting.sm, f"{operation}_inference_experiment"), Name="gone", **more)
        assert code == "ResourceNotFound" and "gone" in message


# --- what goes wrong ---------------------------------------------------------------------------------


def test_a_shadow_that_does_not_come_up_cancels_the_test(hosting):
    serve(hosting)
    hosting.model("broken", START="crash")
    create(hosting, ModelVariants=[variant("broken")], ShadowModeConfig=shadow(name="broken"))
    there = until(hosting, "Cancelled")
    assert "broken" in there["StatusReason"]
    endpoint = hosting.sm.describe_endpoint(EndpointName="e")
    assert endpoint["EndpointConfigName"] == "e" and "ShadowProductionVariants" not in endpoint


def test_an_update_that_fails_takes_the_test_back(hosting):
    serve(hosting)
    hosting.model("broken", START="crash")
    create(hosting, Schedule={"StartTime": hosting.platform.clock.now() + DAY})
    until(hosting, "Created")
    hosting.sm.update_inference_experiment(Name="test", ModelVariants=[variant("broken")], ShadowModeConfig=shadow(name="broken"))
    there = until(hosting, "Cancelled")
    assert "broken" in there["StatusReason"]
    endpoint = hosting.sm.describe_endpoint(EndpointName="e")
    assert endpoint["EndpointConfigName"] == "e" and "ShadowProductionVariants" not in endpoint


def test_somebody_else_updates_the_endpoint(hosting):
    running(hosting)
    hosting.sm.update_endpoint(EndpointName="e", EndpointConfigName="e")
    there = until(hosting, "Cancelled")
    assert "was updated to another endpoint configuration (e)" in there["StatusReason"]
    hosting.until("InService")
    assert hosting.sm.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "e"


def test_the_endpoint_is_deleted(hosting):
    running(hosting)
    hosting.sm.delete_endpoint(EndpointName="e")
    assert "does not exist any more" in until(hosting, "Cancelled")["StatusReason"]


def test_the_role_does_the_work(hosting):
    """What the role may not do is not done: its refusal is the reason."""
    serve(hosting)
    iam = hosting.yard.client("iam")
    trust = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
    role = iam.create_role(RoleName="weak", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    create(hosting, RoleArn=role)
    there = until(hosting, "Cancelled")
    assert "not authorized to perform: sagemaker:CreateEndpointConfig" in there["StatusReason"]
    assert hosting.sm.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "e"


def test_permissions(hosting):
    from tests.support import inproc

    running(hosting)
    iam = hosting.yard.client("iam")
    iam.create_user(UserName="analyst")
    document = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sagemaker:Describe*",'
        '"Resource":"arn:aws:sagemaker:us-east-1:123456789012:inference-experiment/test"}]}'
    )
    iam.put_user_policy(UserName="analyst", PolicyName="look", PolicyDocument=document)
    keys = iam.create_access_key(UserName="analyst")["AccessKey"]
    sm = inproc.client(hosting.yard.gateway, "sagemaker", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    assert sm.describe_inference_experiment(Name="test")["Status"] == "Running"
    assert refused(sm.describe_inference_experiment, Name="another")[0] == "AccessDeniedException"
    code, message = refused(sm.stop_inference_experiment, Name="test", ModelVariantActions={"candidate": "Remove"})
    assert code == "AccessDeniedException" and "sagemaker:StopInferenceExperiment" in message
    for denied, given in (
        (sm.create_inference_experiment, request(hosting, Name="mine")),
        (sm.start_inference_experiment, {"Name": "test"}),
        (sm.update_inference_experiment, {"Name": "test"}),
        (sm.delete_inference_experiment, {"Name": "test"}),
        (sm.list_inference_experiments, {}),
    ):
        assert refused(denied, **given)[0] == "AccessDeniedException"
