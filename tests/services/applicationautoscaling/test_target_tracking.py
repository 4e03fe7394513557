"""Target tracking with a real endpoint, real alarms and a real boto3 client, on a clock by hand."""

from __future__ import annotations

import re

import pytest

from tests.services.applicationautoscaling.conftest import COUNT, PLACE, RESOURCE


def test_alarms_are_there_at_once(scaled):
    arn = scaled.register()
    assert re.fullmatch(r"arn:aws:application-autoscaling:us-east-1:123456789012:scalable-target/[a-z0-9]+", arn)
    made = scaled.track()
    assert re.fullmatch(
        r"arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:[0-9a-f-]{36}:resource/sagemaker/endpoint/e/variant/m:policyName/p",
        made["PolicyARN"],
    )
    high, low = (scaled.cw.describe_alarms(AlarmNames=[a["AlarmName"]])["MetricAlarms"][0] for a in made["Alarms"])
    assert re.fullmatch(r"TargetTracking-endpoint/e/variant/m-AlarmHigh-[0-9a-f-]{36}", high["AlarmName"])
    assert (high["Threshold"], high["EvaluationPeriods"], high["ComparisonOperator"]) == (100.0, 3, "GreaterThanThreshold")
    assert (low["Threshold"], low["EvaluationPeriods"], low["ComparisonOperator"]) == (90.0, 15, "LessThanThreshold")
    assert high["AlarmActions"] == low["AlarmActions"] == [made["PolicyARN"]]
    assert (high["MetricName"], high["Statistic"], high["Period"]) == ("InvocationsPerInstance", "Sum", 60)
    policy = scaled.aas.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=RESOURCE)["ScalingPolicies"][0]
    assert policy["Alarms"] == made["Alarms"] and policy["PolicyARN"] == made["PolicyARN"]
    again = scaled.track(DisableScaleIn=True)
    assert again["PolicyARN"] == made["PolicyARN"] and again["Alarms"] == made["Alarms"][:1]
    assert [a["AlarmName"] for a in scaled.cw.describe_alarms()["MetricAlarms"]] == [high["AlarmName"]]
    scaled.aas.delete_scaling_policy(**PLACE, PolicyName="p")
    assert scaled.cw.describe_alarms()["MetricAlarms"] == []


def test_out_after_three_minutes_and_in_after_fifteen(scaled):
    scaled.register(high=4)
    scaled.track(ScaleInCooldown=120, ScaleOutCooldown=60)
    counts = []
    for _ in range(3):
        scaled.minute(250.0)
        counts.append(scaled.count())
    assert counts == [1, 1, 3], "the third minute above the target is the one"
    assert scaled.sm.describe_endpoint(EndpointName="e")["ProductionVariants"][0]["CurrentInstanceCount"] == 3
    (activity,) = scaled.activities()
    assert activity["Description"] == "Setting desired instance count to 3."
    assert re.fullmatch(rf"monitor alarm TargetTracking-{RESOURCE}-AlarmHigh-\S+ in state ALARM triggered policy p", activity["Cause"])
    assert activity["StatusCode"] == "Successful"
    assert activity["StatusMessage"] == "Successfully set desired instance count to 3. Change successfully fulfilled by sagemaker."
    for _ in range(14):
        scaled.minute(50.0)
    assert scaled.count() == 3
    scaled.minute(50.0)
    assert scaled.count() == 2, "fifteen minutes below 90 % of the target"
    scaled.minute(30.0)
    assert scaled.count() == 2, "the cool-down of two minutes after scaling in"
    scaled.minute(30.0)
    assert scaled.count() == 1


def test_an_idle_endpoint_scales_in(scaled):
    """SageMaker tells CloudWatch of zero invocations, or the low alarm would have nothing to judge."""
    scaled.register(low=1, high=4)
    scaled.sm.update_endpoint_weights_and_capacities(
        EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "m", "DesiredInstanceCount": 3}]
    )
    scaled.until("InService")
    scaled.track(ScaleInCooldown=0)
    scaled.settle()
    for _ in range(17):
        scaled.minute()
    assert scaled.count() == 1


def test_max_is_told_as_a_reason(scaled):
    scaled.register(high=1)
    scaled.track()
    for _ in range(4):
        scaled.minute(500.0)
    assert scaled.count() == 1 and scaled.activities() == []
    (reason,) = scaled.activities(IncludeNotScaledActivities=True)
    assert reason["NotScaledReasons"] == [{"Code": "AlreadyAtMaxCapacity", "MaxCapacity": 1}] and reason["StatusCode"] == "Failed"


def test_customized_metric_with_math(scaled):
    scaled.register()
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "m"}]
    metric = {"Namespace": "App", "MetricName": "Load", "Dimensions": dimensions}
    queries = [
        {"Id": "load", "MetricStat": {"Metric": metric, "Stat": "Average"}, "ReturnData": False},
        {"Id": "double", "Expression": "load * 2"},
    ]
    made = scaled.track(CustomizedMetricSpecification={"Metrics": queries}, TargetValue=10.0)
    assert len(made["Alarms"]) == 2
    for _ in range(3):
        scaled.minute(12.0, "Load", "App")
    assert scaled.count() == 3


def test_suspended_and_resumed(scaled):
    scaled.register(SuspendedState={"DynamicScalingOutSuspended": True})
    scaled.track()
    for _ in range(5):
        scaled.minute(500.0)
    assert scaled.count() == 1
    scaled.aas.register_scalable_target(**PLACE, SuspendedState={"DynamicScalingOutSuspended": False})
    there = scaled.aas.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[RESOURCE], ScalableDimension=COUNT)
    assert there["ScalableTargets"][0]["MaxCapacity"] == 6
    scaled.minute(500.0)
    assert scaled.count() == 5


@pytest.mark.parametrize("way", ["deregister", "delete"])
def test_what_goes_with_a_target(scaled, way):
    """DeregisterScalableTarget, or the end of the endpoint, takes policies and their alarms along."""
    scaled.register()
    scaled.track()
    if way == "deregister":
        scaled.aas.deregister_scalable_target(**PLACE)
    else:
        scaled.sm.delete_endpoint(EndpointName="e")
        scaled.until_gone()
        scaled.settle()
    assert scaled.aas.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert scaled.aas.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    assert scaled.cw.describe_alarms()["MetricAlarms"] == []
