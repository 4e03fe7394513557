"""Step scaling, schedules, bounds, tags, permissions and what bad input gets: real boto3, real endpoint."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from modelyard.services.applicationautoscaling import removal, resource
from tests.services.applicationautoscaling.conftest import COUNT, PLACE, RESOURCE
from tests.support import inproc

STEPS = [
    {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 50, "ScalingAdjustment": 1},
    {"MetricIntervalLowerBound": 50, "ScalingAdjustment": 3},
]


def refused(call, **request):
    with pytest.raises(ClientError) as problem:
        call(**request)
    return problem.value.response["Error"]["Code"], problem.value.response["Error"]["Message"]


def step_policy(scaled, **config):
    config = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": STEPS, "Cooldown": 0, **config}
    return scaled.aas.put_scaling_policy(**PLACE, PolicyName="s", PolicyType="StepScaling", StepScalingPolicyConfiguration=config)[
        "PolicyARN"
    ]


def alarm(scaled, arn, **more):
    scaled.cw.put_metric_alarm(
        AlarmName="busy", AlarmActions=[arn], Namespace="App", MetricName="Queue", Statistic="Average", Period=60, EvaluationPeriods=1,
        Threshold=100.0, ComparisonOperator="GreaterThanThreshold", Dimensions=[{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "m"}], **more,
    )  # fmt: skip


@pytest.mark.parametrize(("value", "count"), [(120.0, 2), (151.0, 4)])
def test_the_size_of_the_breach_chooses_the_step(scaled, value, count):
    scaled.register()
    arn = step_policy(scaled)
    alarm(scaled, arn)
    scaled.minute(value, "Queue", "App")
    assert scaled.count() == count
    assert scaled.activities()[0]["Cause"] == "monitor alarm busy in state ALARM triggered policy s"
    shown = scaled.aas.describe_scaling_policies(ServiceNamespace="sagemaker", PolicyNames=["s"])["ScalingPolicies"][0]
    assert [a["AlarmName"] for a in shown["Alarms"]] == ["busy"]


def test_an_alarm_set_by_hand_scales_too(scaled):
    scaled.register()
    alarm(scaled, step_policy(scaled))
    scaled.cw.set_alarm_state(AlarmName="busy", StateValue="ALARM", StateReason="rehearsal")
    scaled.settle()
    assert scaled.count() == 2


def test_a_policy_that_is_gone_is_a_failed_action_not_a_crash(scaled):
    scaled.register()
    alarm(scaled, step_policy(scaled))
    scaled.aas.delete_scaling_policy(**PLACE, PolicyName="s")
    assert [a["AlarmName"] for a in scaled.cw.describe_alarms()["MetricAlarms"]] == ["busy"], "alarms of step policies are the user's"
    scaled.minute(500.0, "Queue", "App")
    assert scaled.count() == 1


def test_bounds_and_schedule(scaled):
    scaled.register(low=2, high=4)
    scaled.settle()
    assert scaled.count() == 2 and scaled.activities()[0]["Cause"] == "minimum capacity was set to 2"
    at = datetime.fromtimestamp(scaled.clock.now() + 90, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    scaled.aas.put_scheduled_action(
        **PLACE, ScheduledActionName="morning", Schedule=f"at({at})", ScalableTargetAction={"MinCapacity": 3, "MaxCapacity": 5}
    )
    scaled.aas.put_scheduled_action(
        **PLACE, ScheduledActionName="tide", Schedule="rate(5 minutes)", ScalableTargetAction={"MinCapacity": 1, "MaxCapacity": 1}
    )
    scaled.minute()
    assert scaled.count() == 2
    scaled.minute()
    assert scaled.count() == 3
    told = {a["Cause"]: a["Description"] for a in scaled.activities()}
    assert told["minimum capacity was set to 3"] == "Setting desired instance count to 3."
    assert told["scheduled action name morning was triggered"] == "Setting minimum capacity to 3 and maximum capacity to 5"
    for _ in range(3):
        scaled.minute()
    assert scaled.count() == 1
    actions = scaled.aas.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert {a["ScheduledActionName"]: a["Schedule"] for a in actions} == {"morning": f"at({at})", "tide": "rate(5 minutes)"}
    scaled.aas.delete_scheduled_action(**PLACE, ScheduledActionName="tide")
    assert refused(scaled.aas.delete_scheduled_action, **PLACE, ScheduledActionName="tide")[0] == "ObjectNotFoundException"


def test_a_refused_capacity_is_a_failed_activity(scaled):
    """More instances than the quota: SageMaker's words are the reason."""
    scaled.register(low=40, high=40)
    scaled.settle()
    (activity,) = scaled.activities()
    assert activity["StatusCode"] == "Failed" and scaled.count() == 1
    assert activity["StatusMessage"].startswith("Failed to set desired instance count to 40. Reason: The account-level service limit")


def test_the_role_is_asked(scaled, monkeypatch):
    """What the service-linked role may not do is not done. Only its service can change that role: here the guard is lifted."""
    monkeypatch.setattr("modelyard.services.iam.role_policies.refuse_service_linked", lambda record: None)
    scaled.register()
    iam, role = scaled.yard.client("iam"), "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    (policy,) = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert policy["PolicyName"] == "AWSApplicationAutoscalingSageMakerEndpointPolicy"
    deny = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "sagemaker:UpdateEndpoint*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=role, PolicyName="no", PolicyDocument=json.dumps(deny))
    scaled.aas.register_scalable_target(**PLACE, MinCapacity=2)
    scaled.settle()
    assert scaled.count() == 1
    assert "not authorized to perform: sagemaker:UpdateEndpointWeightsAndCapacities" in scaled.activities()[0]["StatusMessage"]


def test_who_may(scaled):
    iam = scaled.yard.client("iam")
    iam.create_user(UserName="reader")
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "application-autoscaling:Describe*", "Resource": "*"}]}
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps(allow))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    reader = inproc.client(scaled.yard.gateway, "application-autoscaling", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    assert reader.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert "AccessDenied" in refused(reader.register_scalable_target, **PLACE, MinCapacity=1, MaxCapacity=2)[0]
    scaled.register()
    assert "AccessDenied" in refused(reader.deregister_scalable_target, **PLACE)[0]


def test_tags_and_pages(scaled):
    arn = scaled.register(Tags={"team": "a"})
    scaled.aas.tag_resource(ResourceARN=arn, Tags={"stage": "b"})
    scaled.aas.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert scaled.aas.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"stage": "b"}
    assert refused(scaled.aas.register_scalable_target, **PLACE, MinCapacity=1, MaxCapacity=2, Tags={"x": "y"})[1].startswith(
        "The scalable target that you tried to tag already exists"
    )
    assert refused(scaled.aas.list_tags_for_resource, ResourceARN=arn[:-4] + "beef")[0] == "ResourceNotFoundException"
    for name in "abc":
        scaled.track(name)
    pages = scaled.aas.get_paginator("describe_scaling_policies").paginate(ServiceNamespace="sagemaker", PaginationConfig={"PageSize": 2})
    assert [p["PolicyName"] for page in pages for p in page["ScalingPolicies"]] == ["a", "b", "c"]
    wrong = refused(scaled.aas.describe_scaling_policies, ServiceNamespace="sagemaker", NextToken="nonsense")
    assert wrong[0] == "InvalidNextTokenException"


def test_bad_targets(scaled):
    register = scaled.aas.register_scalable_target
    bounds = {"MinCapacity": 1, "MaxCapacity": 2}
    for place, text in [
        ({**PLACE, "ResourceId": "endpoint/none/variant/m"}, "does not exist"),
        ({**PLACE, "ResourceId": "endpoint/e/variant/none"}, "does not exist"),
        ({**PLACE, "ResourceId": "e"}, "Unsupported service namespace, resource type or scalable dimension"),
        ({**PLACE, "ScalableDimension": "ecs:service:DesiredCount"}, "Unsupported service namespace, resource type or scalable dimension"),
        ({**PLACE, "ScalableDimension": "sagemaker:variant:DesiredProvisionedConcurrency"}, "it is not serverless"),
        ({**PLACE, "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount"}, "Unsupported service namespace"),
        ({"ServiceNamespace": "ecs", "ResourceId": "service/c/s", "ScalableDimension": "ecs:service:DesiredCount"}, "not built"),
    ]:
        code, message = refused(register, **place, **bounds)
        assert code == "ValidationException" and text in message
    assert "MinCapacity and MaxCapacity" in refused(register, **PLACE, MinCapacity=1)[1]
    assert "less than minimum" in refused(register, **PLACE, MinCapacity=3, MaxCapacity=2)[1]
    assert refused(scaled.aas.deregister_scalable_target, **PLACE) == (
        "ObjectNotFoundException",
        f"No scalable target registered for service namespace: sagemaker, resource ID: {RESOURCE}, scalable dimension: {COUNT}",
    )
    assert refused(scaled.aas.describe_scalable_targets, ServiceNamespace="sagemaker", ScalableDimension=COUNT)[0] == "ValidationException"


def test_bad_policies(scaled):
    code, message = refused(scaled.track)
    assert code == "ObjectNotFoundException" and message.startswith("No scalable target registered")
    scaled.register()
    for config, text in [
        ({"StepAdjustments": []}, "at least one StepAdjustment"),
        (
            {"StepAdjustments": [*STEPS, {"MetricIntervalLowerBound": 20, "MetricIntervalUpperBound": 30, "ScalingAdjustment": 1}]},
            "overlap",
        ),
        ({"StepAdjustments": [{"MetricIntervalLowerBound": 60, "ScalingAdjustment": 1}, STEPS[0]]}, "gap"),
        ({"StepAdjustments": [{"MetricIntervalLowerBound": 6, "MetricIntervalUpperBound": 6, "ScalingAdjustment": 1}]}, "greater than"),
        ({"AdjustmentType": "ExactCapacity", "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": -1}]}, "negative"),
        ({"MinAdjustmentMagnitude": 2}, "PercentChangeInCapacity only"),
    ]:
        with pytest.raises(ClientError, match=text):
            step_policy(scaled, **config)
    for config, text in [
        ({"TargetValue": 0.0}, "TargetValue"),
        ({"ScaleInCooldown": -1}, "ScaleInCooldown"),
        ({"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"}}, "only supports the following"),
        ({"PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}}, "only supports the following"),
        ({"CustomizedMetricSpecification": {"MetricName": "m"}}, "Namespace, Statistic"),
        ({"CustomizedMetricSpecification": {"Metrics": [{"Id": "a", "Expression": "1"}, {"Id": "b", "Expression": "2"}]}}, "Exactly one"),
    ]:  # fmt: skip
        with pytest.raises(ClientError, match=text):
            scaled.track(**config)
    step_policy(scaled)
    assert "cannot be changed" in refused(scaled.track, name="s")[1]
    assert refused(scaled.aas.delete_scaling_policy, **PLACE, PolicyName="none")[0] == "ObjectNotFoundException"
    assert (
        "which Modelyard does not scale"
        in refused(scaled.aas.put_scaling_policy, **PLACE, PolicyName="x", PolicyType="PredictiveScaling")[1]
    )


def test_bad_schedules(scaled):
    scaled.register()
    put, bounds = scaled.aas.put_scheduled_action, {"MinCapacity": 1}
    for more, text in [
        ({"Schedule": "cron(0 9 * *)", "ScalableTargetAction": bounds}, "needs 6"),
        ({"Schedule": "at(2020-01-01T00:00:00)", "ScalableTargetAction": bounds}, "in the past"),
        ({"Schedule": "rate(5 minutes)"}, "ScalableTargetAction"),
        ({"ScalableTargetAction": bounds}, "Schedule must be specified"),
        ({"Schedule": "rate(5 minutes)", "Timezone": "Nowhere/At", "ScalableTargetAction": bounds}, "Timezone"),
        ({"Schedule": "rate(5 minutes)", "ScalableTargetAction": {"MinCapacity": 3, "MaxCapacity": 2}}, "less than minimum"),
    ]:
        code, message = refused(put, **PLACE, ScheduledActionName="a", **more)
        assert code == "ValidationException" and text in message


def test_a_removal_that_a_crash_cut_short_is_finished(scaled, monkeypatch):
    scaled.register()
    scaled.track()
    monkeypatch.setattr(removal, "delete_alarms", lambda *_: 1 / 0)
    with pytest.raises(ClientError):
        scaled.aas.deregister_scalable_target(**PLACE)
    monkeypatch.undo()
    scaled.clock.advance(60.0)
    scaled.settle()
    assert scaled.cw.describe_alarms()["MetricAlarms"] == [] and not scaled.platform.store.list("scalable-target")
    assert resource.split(RESOURCE) == ("e", "m")
