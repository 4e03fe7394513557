"""Deployment guardrails by an unmodified boto3 client: real wire, store, engine, splitter and HTTP; boxes are threads, the clock is the test's."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from botocore.exceptions import ClientError

from modelyard import app
from tests.support.clocks import JumpingClock
from tests.support.hosting import Hosting, eventually

ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e"


@pytest.fixture
def hosting(tmp_path):
    made = Hosting(tmp_path, clock=JumpingClock())
    yield made
    made.close()


def fleet(hosting, name, *variants, **more):
    """An endpoint configuration of (variant, count, weight) whose models answer with `<configuration>-<variant>`."""
    rows = []
    for variant, count, weight in variants or [("all", 2, 1.0)]:
        hosting.model(f"{name}-{variant}", **more.get("env", {}))
        shape = {"VariantName": variant, "ModelName": f"{name}-{variant}", "InitialVariantWeight": weight}
        rows.append({**shape, "InitialInstanceCount": count, "InstanceType": "ml.m5.large"})
    hosting.sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=rows)


def serve(hosting, *variants):
    fleet(hosting, "blue", *variants)
    hosting.sm.create_endpoint(EndpointName="e", EndpointConfigName="blue")
    return hosting.until("InService")


def canary(percent=30, wait=300, termination=120, alarms=(), **more):
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": wait, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent}}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": termination, **more}
    guards = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": a} for a in alarms]}} if alarms else {}
    return {"BlueGreenUpdatePolicy": policy, **guards}


def rolling(size, wait, alarms=(), **more):
    policy = {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": size}, "WaitIntervalInSeconds": wait, **more}
    guards = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": a} for a in alarms]}} if alarms else {}
    return {"RollingUpdatePolicy": policy, **guards}


def update(hosting, config, policy=None, **more):
    how = {"DeploymentConfig": policy} if policy else {}
    hosting.sm.update_endpoint(EndpointName="e", EndpointConfigName=config, **how, **more)


def stage(hosting, status, seconds=10):
    """The pending variant once it has this status."""

    def look():
        there = hosting.sm.describe_endpoint(EndpointName="e")
        pending = there.get("PendingDeploymentSummary", {"ProductionVariants": []})["ProductionVariants"]
        return next((v for v in pending if v["VariantStatus"][0]["Status"] == status), None)

    return eventually(look, seconds, lambda: hosting.sm.describe_endpoint(EndpointName="e"))


def advance(hosting, seconds):
    hosting.platform.clock.advance(seconds)
    hosting.engine.ring()


def alarm(hosting, name, state="OK"):
    """A real alarm of CloudWatch, set to a state by hand; the bus and the engine of alarms do what they would do by themselves."""
    cloudwatch = hosting.yard.client("cloudwatch")
    rule = {
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "EvaluationPeriods": 1,
        "Period": 60,
        "Statistic": "Sum",
    }
    if not cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]:
        cloudwatch.put_metric_alarm(AlarmName=name, Namespace="Nothing", MetricName="Errors", TreatMissingData="ignore", **rule)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="for the test")
    app.event_bus(hosting.platform).drain()


def calls(hosting, count, **more):
    """Who answered: {model: times}."""
    answers = (hosting.rt.invoke_endpoint(EndpointName="e", Body=b"x", **more)["Body"].read() for _ in range(count))
    return Counter(answer.decode().partition(":")[0] for answer in answers)


def invocations(hosting, config=None):
    """What CloudWatch counted of the variant, or of one fleet of it."""
    names = {"EndpointName": "e", "VariantName": "all", **({"EndpointConfigName": config} if config else {})}
    now = hosting.platform.clock.now()
    answer = hosting.yard.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": k, "Value": v} for k, v in names.items()],
        StartTime=now - 3600,
        EndTime=now + 3600,
        Period=60,
        Statistics=["Sum"],
    )
    return sum(point["Sum"] for point in answer["Datapoints"])


def refused(function, **request):
    with pytest.raises(ClientError) as caught:
        function(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_canary_from_begin_to_end(hosting):
    serve(hosting)
    fleet(hosting, "green", ("all", 4, 1.0))
    update(hosting, "green", canary())
    pending = stage(hosting, "Baking")
    assert pending["VariantStatus"][0]["StatusMessage"] == (
        "Baking for 300 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s)."
    )
    assert (pending["CurrentInstanceCount"], pending["DesiredInstanceCount"], pending["CurrentWeight"]) == (1, 4, 1.0)
    there = hosting.sm.describe_endpoint(EndpointName="e")
    assert there["EndpointStatus"] == "Updating" and there["EndpointConfigName"] == "blue" and "FailureReason" not in there
    assert there["PendingDeploymentSummary"]["EndpointConfigName"] == "green" and there["LastDeploymentConfig"] == canary()
    assert there["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    answered = calls(hosting, 1000)
    assert abs(answered["green-all"] - 300) < 3 * (1000 * 0.3 * 0.7) ** 0.5 and answered.total() == 1000
    targeted = calls(hosting, 300, TargetVariant="all")
    assert abs(targeted["green-all"] - 90) < 4 * (300 * 0.3 * 0.7) ** 0.5, "TargetVariant is split among the fleets too"
    total = answered + targeted
    assert eventually(lambda: invocations(hosting, "green") >= total["green-all"])
    assert invocations(hosting, "green") == total["green-all"] and invocations(hosting, "blue") == total["blue-all"]
    assert invocations(hosting) == total.total(), "both fleets are in the variant's own metric"
    advance(hosting, 300)
    pending = eventually(lambda: (v := stage(hosting, "Baking"))["CurrentInstanceCount"] == 4 and v)
    assert pending["VariantStatus"][0]["StatusMessage"].startswith(
        "Baking for 120 seconds (TerminationWaitInSeconds) with traffic enabled on full"
    )
    assert len(hosting.runtime.running()) == 6
    eventually(lambda: calls(hosting, 20) == {"green-all": 20})
    advance(hosting, 120)
    there = hosting.until("InService")
    assert there["EndpointConfigName"] == "green" and "PendingDeploymentSummary" not in there and "FailureReason" not in there
    eventually(lambda: len(hosting.runtime.running()) == 4)


def test_alarm_in_the_bake_rolls_back_and_no_call_fails(hosting):
    serve(hosting)
    alarm(hosting, "errors")
    fleet(hosting, "green")
    failed, over = [], threading.Event()

    def load():
        while not over.is_set():
            try:
                calls(hosting, 1)
            except Exception as problem:
                failed.append(problem)

    callers = [threading.Thread(target=load) for _ in range(3)]
    for caller in callers:
        caller.start()
    update(hosting, "green", canary(50, alarms=["errors"]))
    stage(hosting, "Baking")
    eventually(lambda: calls(hosting, 5)["green-all"])
    alarm(hosting, "errors", "ALARM")
    there = hosting.until("InService")
    eventually(lambda: len(hosting.runtime.running()) == 2)
    over.set()
    for caller in callers:
        caller.join(10)
    assert failed == []
    assert (
        there["EndpointConfigName"] == "blue"
        and there["FailureReason"] == "CloudWatch alarm(s) in ALARM state during the deployment: errors."
    )
    assert there["ProductionVariants"][0]["DesiredInstanceCount"] == 2 and "PendingDeploymentSummary" not in there
    assert calls(hosting, 20) == {"blue-all": 20}
    update(hosting, "green")  # without a policy, nothing watches
    assert "FailureReason" not in hosting.until("InService")
    eventually(lambda: calls(hosting, 10) == {"green-all": 10})


def test_alarm_that_rings_before_the_update(hosting):
    serve(hosting)
    alarm(hosting, "errors", "ALARM")
    fleet(hosting, "green")
    update(hosting, "green", canary(alarms=["errors"]))
    there = eventually(lambda: (d := hosting.until("InService")).get("FailureReason") and d)
    assert there["EndpointConfigName"] == "blue" and "errors" in there["FailureReason"] and len(hosting.runtime.starts) == 2


def test_new_fleet_that_is_never_healthy(hosting):
    serve(hosting)
    fleet(hosting, "green", env={"START": "crash"})
    update(hosting, "green", canary())
    there = eventually(lambda: (d := hosting.until("InService")).get("FailureReason") and d)
    assert "did not pass the ping health check" in there["FailureReason"] and calls(hosting, 5) == {"blue-all": 5}
    eventually(lambda: len(hosting.runtime.running()) == 2)


def test_replica_that_dies_in_the_bake(hosting):
    serve(hosting)
    fleet(hosting, "green")
    update(hosting, "green", canary())
    stage(hosting, "Baking")
    next(box for box in hosting.runtime.running() if box.name == "green-all").end(137)
    there = hosting.until("InService")
    assert "did not pass the ping health check" in there["FailureReason"] and calls(hosting, 5) == {"blue-all": 5}


def test_rolling(hosting):
    serve(hosting, ("all", 4, 1.0))
    fleet(hosting, "green", ("all", 4, 1.0))
    update(hosting, "green", rolling(2, 60))
    pending = stage(hosting, "Baking")
    assert pending["VariantStatus"][0]["StatusMessage"].startswith(
        "Baking for 60 seconds (WaitIntervalInSeconds) with traffic enabled on capacity of 2"
    )
    assert len(hosting.runtime.running()) == 6, "never both fleets at once"
    advance(hosting, 60)
    eventually(lambda: stage(hosting, "Baking")["CurrentInstanceCount"] == 4)
    advance(hosting, 60)
    assert hosting.until("InService")["EndpointConfigName"] == "green"
    eventually(lambda: Counter(b.name for b in hosting.runtime.running()) == {"green-all": 4})


def test_rolling_back_a_rolling_update(hosting):
    serve(hosting, ("all", 4, 1.0))
    alarm(hosting, "errors")
    fleet(hosting, "green", ("all", 4, 1.0))
    update(hosting, "green", rolling(2, 60, alarms=["errors"]))
    stage(hosting, "Baking")
    advance(hosting, 60)
    eventually(lambda: stage(hosting, "Baking")["CurrentInstanceCount"] == 4)
    eventually(lambda: Counter(b.name for b in hosting.runtime.running()) == {"blue-all": 2, "green-all": 4})
    alarm(hosting, "errors", "ALARM")
    assert hosting.until("InService")["EndpointConfigName"] == "blue"
    eventually(lambda: Counter(b.name for b in hosting.runtime.running()) == {"blue-all": 4})
    assert calls(hosting, 20) == {"blue-all": 20}


def test_what_may_not_be_done_in_mid_rollout(hosting):
    serve(hosting)
    fleet(hosting, "green")
    update(hosting, "green", canary())
    stage(hosting, "Baking")
    busy = ("ValidationException", f'Cannot update in-progress endpoint "{ARN}".')
    assert refused(hosting.sm.update_endpoint, EndpointName="e", EndpointConfigName="green") == busy
    change = [{"VariantName": "all", "DesiredWeight": 2.0}]
    assert refused(hosting.sm.update_endpoint_weights_and_capacities, EndpointName="e", DesiredWeightsAndCapacities=change) == busy
    assert refused(hosting.sm.delete_endpoint, EndpointName="e") == busy
    advance(hosting, 300)
    eventually(lambda: stage(hosting, "Baking")["CurrentInstanceCount"] == 2)
    advance(hosting, 120)
    hosting.until("InService")
    hosting.sm.delete_endpoint(EndpointName="e")
    eventually(lambda: not hosting.runtime.running())


BAD = [
    ({**canary(), **rolling(1, 60)}, "Only one update policy"),
    (canary(60), "between 1% and 50%"),
    (canary(alarms=["nowhere"]), "Could not find CloudWatch alarm(s) nowhere"),
    (rolling(2, 60), "between 5% and 50%"),
    (canary(alarms=[f"a{n}" for n in range(11)]), "less than or equal to 10"),
    (canary(wait=3601), "less than or equal to 3600"),
    (canary(MaximumExecutionTimeoutInSeconds=28801), "less than or equal to 28800"),
]


def test_bad_policies_change_nothing(hosting):
    serve(hosting)
    fleet(hosting, "green")
    for policy, text in BAD:
        request = {"EndpointConfigName": "green", "DeploymentConfig": policy}
        for function, name in ((hosting.sm.update_endpoint, "e"), (hosting.sm.create_endpoint, "other")):
            code, message = refused(function, EndpointName=name, **request)
            assert code == "ValidationException" and text in message
    assert hosting.sm.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService" and len(hosting.runtime.starts) == 2
    assert len(hosting.sm.list_endpoints()["Endpoints"]) == 1


@pytest.mark.slow
def test_ten_thousand_calls_at_ninety_to_ten(hosting):
    serve(hosting, ("a", 1, 9.0), ("b", 1, 1.0))
    seen = calls(hosting, 10_000)
    assert abs(seen["blue-b"] - 1000) <= 3 * (10_000 * 0.1 * 0.9) ** 0.5 and seen.total() == 10_000


def test_the_last_deployment_config_is_kept_on_request(hosting):
    serve(hosting)
    for name in ("one", "two", "three"):
        fleet(hosting, name)
    policy = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}}
    update(hosting, "one", policy)
    assert hosting.until("InService")["LastDeploymentConfig"] == policy
    update(hosting, "two", RetainDeploymentConfig=True)
    assert hosting.until("InService")["LastDeploymentConfig"] == policy
    update(hosting, "three")
    assert "LastDeploymentConfig" not in hosting.until("InService")


def test_counts_and_weights_are_kept_on_request(hosting):
    serve(hosting, ("a", 1, 1.0), ("b", 1, 1.0))
    change = [{"VariantName": "a", "DesiredWeight": 3.0, "DesiredInstanceCount": 2}]
    hosting.sm.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=change)
    hosting.until("InService")
    fleet(hosting, "green", ("a", 1, 1.0), ("b", 1, 5.0))
    update(hosting, "green", RetainAllVariantProperties=True, ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}])
    there = {v["VariantName"]: (v["CurrentWeight"], v["CurrentInstanceCount"]) for v in hosting.until("InService")["ProductionVariants"]}
    assert there == {"a": (1.0, 2), "b": (5.0, 1)}


def test_changes_of_capacity(hosting):
    serve(hosting)

    def change(**wish):
        return {"EndpointName": "e", "DesiredWeightsAndCapacities": [{"VariantName": "all", **wish}]}

    rescale = hosting.sm.update_endpoint_weights_and_capacities
    assert "only asynchronous endpoints scale to zero" in refused(rescale, **change(DesiredInstanceCount=0))[1]
    assert "above 0" in refused(rescale, **change(DesiredWeight=0.0))[1]
    assert refused(rescale, **change(DesiredInstanceCount=33))[0] == "ResourceLimitExceeded"
    assert "no production variant" in refused(rescale, EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "x"}])[1]
    rescale(**change(DesiredInstanceCount=4))
    there = hosting.sm.describe_endpoint(EndpointName="e")
    if there["EndpointStatus"] == "Updating":
        assert there["ProductionVariants"][0]["VariantStatus"][0]["StatusMessage"] == "Scaling out desired instance count to 4."
        assert "PendingDeploymentSummary" not in there
    assert hosting.until("InService")["ProductionVariants"][0]["CurrentInstanceCount"] == 4


def test_role_that_may_not_look_at_alarms(hosting):
    import json

    iam = hosting.yard.root("iam")
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="blind", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", **trust}))["Role"]["Arn"]
    reads = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}], "Version": "2012-10-17"}
    iam.put_role_policy(RoleName="blind", PolicyName="p", PolicyDocument=json.dumps(reads))
    hosting.role = role
    serve(hosting)
    alarm(hosting, "errors")
    fleet(hosting, "green")
    request = {"EndpointName": "e", "EndpointConfigName": "green", "DeploymentConfig": canary(alarms=["errors"])}
    code, message = refused(hosting.sm.update_endpoint, **request)
    assert code == "ValidationException" and "cloudwatch:DescribeAlarms" in message and role in message


def test_the_quota_counts_both_fleets(hosting, monkeypatch):
    from modelyard.services.sagemaker.endpoint import quota

    monkeypatch.setattr(quota, "MOST_INSTANCES", 3)
    serve(hosting)
    fleet(hosting, "green", ("all", 2, 1.0))
    code, message = refused(hosting.sm.update_endpoint, EndpointName="e", EndpointConfigName="green")
    assert code == "ResourceLimitExceeded"
    assert "is 3 Instances, with current utilization of 2 Instances and a request delta of 2 Instances" in message
    update(hosting, "green", rolling(1, 0))
    code, message = refused(hosting.sm.create_endpoint, EndpointName="f", EndpointConfigName="blue")
    assert code == "ResourceLimitExceeded" and "current utilization of 3 Instances" in message, "the batch under way counts"
    hosting.until("InService")
    assert hosting.sm.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "green"
