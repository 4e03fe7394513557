"""Provisioned concurrency of a serverless variant follows its utilization, and schedules, end to end."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.services.applicationautoscaling.conftest import RESOURCE, Scaled
from tests.support.hosting import eventually

CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"
PLACE = {"ServiceNamespace": "sagemaker", "ResourceId": RESOURCE, "ScalableDimension": CONCURRENCY}
UTILIZATION = "ServerlessProvisionedConcurrencyUtilization"


@pytest.fixture
def scaled(tmp_path):
    made = Scaled(tmp_path)
    made.model("m")
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 10, "ProvisionedConcurrency": 1}
    made.sm.create_endpoint_config(
        EndpointConfigName="e", ProductionVariants=[{"VariantName": "m", "ModelName": "m", "ServerlessConfig": serverless}]
    )
    made.sm.create_endpoint(EndpointName="e", EndpointConfigName="e")
    made.until("InService")
    yield made
    made.close()


def track(scaled, **more):
    metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"}}
    config = {"TargetValue": 0.5, "ScaleOutCooldown": 0, "ScaleInCooldown": 0, **metric, **more}
    return scaled.aas.put_scaling_policy(
        **PLACE, PolicyName="p", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=config
    )


def provisioned(scaled):
    """(desired, current) of the variant."""
    [variant] = scaled.sm.describe_endpoint(EndpointName="e")["ProductionVariants"]
    return tuple(variant[f"{which}ServerlessConfig"]["ProvisionedConcurrency"] for which in ("Desired", "Current"))


def running(scaled):
    return len(scaled.runtime.running())


def test_out_and_in_by_utilization(scaled):
    scaled.aas.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=4)
    made = track(scaled)
    [high, _] = (scaled.cw.describe_alarms(AlarmNames=[a["AlarmName"]])["MetricAlarms"][0] for a in made["Alarms"])
    assert (high["MetricName"], high["Threshold"], high["Statistic"]) == (UTILIZATION, 0.5, "Maximum")
    for _ in range(3):
        scaled.minute(1.0, name=UTILIZATION)
    assert provisioned(scaled)[0] == 2, "all of one is used, half shall be"
    eventually(lambda: provisioned(scaled) == (2, 2) and running(scaled) == 2)
    [activity] = scaled.activities()
    scaled.settle()
    assert activity["Description"] == "Setting desired provisioned concurrency to 2." and activity["ScalableDimension"] == CONCURRENCY
    for _ in range(3):
        scaled.minute(1.0, name=UTILIZATION)
    assert provisioned(scaled)[0] == 4
    eventually(lambda: running(scaled) == 4)
    for _ in range(16):
        scaled.minute(0.1, name=UTILIZATION)
    assert provisioned(scaled)[0] == 1
    for _ in range(6):  # those not provisioned any more go like any idle instance
        scaled.clock.advance(60)
        scaled.engine.ring()
    eventually(lambda: running(scaled) == 1)


def test_real_calls_make_the_metric(scaled):
    """One call at a time on one provisioned instance is a utilization of 1."""
    scaled.aas.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=4)
    track(scaled)
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "m"}]

    def told():
        now = scaled.clock.now()
        found = scaled.platform.metrics.buckets(
            "123456789012", "us-east-1", "AWS/SageMaker", UTILIZATION, dimensions, now - 60, now + 60, 60
        )
        return any(bucket.high == 1.0 for bucket in found)

    for _ in range(3):
        scaled.rt.invoke_endpoint(EndpointName="e", Body=b"x")
        eventually(told)
        scaled.minute()
    assert provisioned(scaled)[0] == 2


def test_scheduled(scaled):
    scaled.aas.register_scalable_target(**PLACE, MinCapacity=1, MaxCapacity=4)
    action = {"MinCapacity": 3, "MaxCapacity": 4}
    scaled.aas.put_scheduled_action(**PLACE, ScheduledActionName="morning", Schedule="rate(5 minutes)", ScalableTargetAction=action)
    for _ in range(6):
        scaled.minute()
    assert provisioned(scaled)[0] == 3
    eventually(lambda: provisioned(scaled) == (3, 3) and running(scaled) == 3)


def test_more_than_the_variant_may_have_is_a_failed_activity(scaled):
    scaled.aas.register_scalable_target(**PLACE, MinCapacity=11, MaxCapacity=20)
    scaled.minute()
    assert provisioned(scaled)[0] == 1
    activity = scaled.activities()[0]
    assert activity["StatusCode"] == "Failed" and "MaxConcurrency" in activity["StatusMessage"]


def test_instances_of_a_serverless_variant_cannot_be_scaled(scaled):
    with pytest.raises(ClientError, match="serverless"):
        scaled.register()
