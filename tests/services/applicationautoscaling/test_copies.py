"""Copies of an inference component follow its load, down to none and back, end to end."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.services.applicationautoscaling.conftest import BEGIN, PLACE, Scaled
from tests.support.hosting import eventually

COPIES = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "inference-component/one",
    "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
}
OF_ONE = [{"Name": "InferenceComponentName", "Value": "one"}]


class WithComponents(Scaled):
    kinds = ("endpoint", "inference-component")

    def copies(self) -> tuple[int, int] | None:
        """(desired, current) of one that is in service."""
        there = self.sm.describe_inference_component(InferenceComponentName="one")
        count = there["RuntimeConfig"]
        return (count["DesiredCopyCount"], count["CurrentCopyCount"]) if there["InferenceComponentStatus"] == "InService" else None

    def passes(self, **values: float) -> None:
        """A minute, in which the component had these values."""
        data = [
            {"MetricName": name, "Dimensions": OF_ONE, "Value": value, "Timestamp": self.clock.now() + 30} for name, value in values.items()
        ]
        if data:
            self.platform.metrics.put(self.settings.account, "us-east-1", "AWS/SageMaker", data)
        self.minute()


@pytest.fixture
def scaled(tmp_path):
    made = WithComponents(tmp_path)
    made.model("m")
    row = {"VariantName": "v", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 2}
    made.sm.create_endpoint_config(EndpointConfigName="e", ProductionVariants=[row], ExecutionRoleArn=made.role)
    made.sm.create_endpoint(EndpointName="e", EndpointConfigName="e")
    made.until("InService")
    needs = {"NumberOfCpuCoresRequired": 1, "MinMemoryRequiredInMb": 1024}
    made.sm.create_inference_component(
        InferenceComponentName="one",
        EndpointName="e",
        VariantName="v",
        Specification={"ModelName": "m", "ComputeResourceRequirements": needs},
        RuntimeConfig={"CopyCount": 1},
    )
    eventually(lambda: made.copies() == (1, 1))
    yield made
    made.close()


def test_out_by_calls_and_in_to_none_when_idle(scaled):
    assert scaled.clock.now() == BEGIN
    scaled.aas.register_scalable_target(**COPIES, MinCapacity=0, MaxCapacity=4)
    metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"}}
    config = {"TargetValue": 10.0, "ScaleInCooldown": 0, "ScaleOutCooldown": 0, **metric}
    made = scaled.aas.put_scaling_policy(
        **COPIES, PolicyName="p", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=config
    )
    [high, _] = (scaled.cw.describe_alarms(AlarmNames=[a["AlarmName"]])["MetricAlarms"][0] for a in made["Alarms"])
    assert (high["MetricName"], high["Dimensions"]) == ("InvocationsPerCopy", OF_ONE)
    for _ in range(3):
        scaled.passes(InvocationsPerCopy=30.0)
    eventually(lambda: scaled.copies() == (3, 3))
    scaled.settle()
    activity = scaled.activities()[0]
    assert activity["Description"] == "Setting desired copy count to 3." and activity["ResourceId"] == COPIES["ResourceId"]
    for _ in range(20):
        scaled.passes()
    eventually(lambda: scaled.copies() == (0, 0))
    with pytest.raises(ClientError, match="has no capacity"):
        scaled.rt.invoke_endpoint(EndpointName="e", InferenceComponentName="one", Body=b"x")


def test_from_none_by_calls_that_found_no_copy(scaled):
    """The way of AWS's guide: a step policy on an alarm of NoCapacityInvocationFailures."""
    scaled.sm.update_inference_component_runtime_config(InferenceComponentName="one", DesiredRuntimeConfig={"CopyCount": 0})
    eventually(lambda: scaled.copies() == (0, 0))
    scaled.aas.register_scalable_target(**COPIES, MinCapacity=0, MaxCapacity=4)
    steps = {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        "Cooldown": 60,
    }
    policy = scaled.aas.put_scaling_policy(
        **COPIES, PolicyName="wake", PolicyType="StepScaling", StepScalingPolicyConfiguration={**steps, "MetricAggregationType": "Maximum"}
    )
    scaled.cw.put_metric_alarm(
        AlarmName="nobody-there",
        Namespace="AWS/SageMaker",
        MetricName="NoCapacityInvocationFailures",
        Dimensions=OF_ONE,
        Statistic="Maximum",
        Period=30,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="missing",
        AlarmActions=[policy["PolicyARN"]],
    )
    with pytest.raises(ClientError, match="has no capacity"):
        scaled.rt.invoke_endpoint(EndpointName="e", InferenceComponentName="one", Body=b"x")
    now = scaled.clock.now()

    def told():
        found = scaled.platform.metrics.buckets(
            scaled.settings.account, "us-east-1", "AWS/SageMaker", "NoCapacityInvocationFailures", OF_ONE, now - 60, now + 60, 60
        )
        return found and found[0].total == 1

    eventually(told)
    for _ in range(2):
        scaled.clock.advance(30)
        scaled.settle()
    eventually(lambda: scaled.copies() == (1, 1))
    assert scaled.rt.invoke_endpoint(EndpointName="e", InferenceComponentName="one", Body=b"x")["Body"].read() == b"m:x"


def test_what_cannot_be_scaled(scaled):
    for change, says in (
        ({"ResourceId": "inference-component/nobody"}, "inference component nobody does not exist"),
        ({"ResourceId": PLACE["ResourceId"]}, "Unsupported service namespace, resource type or scalable dimension"),
        ({"ScalableDimension": PLACE["ScalableDimension"]}, "Unsupported service namespace, resource type or scalable dimension"),
    ):
        with pytest.raises(ClientError, match=says):
            scaled.aas.register_scalable_target(**{**COPIES, **change}, MinCapacity=1, MaxCapacity=2)


def test_more_than_there_is_room_for_is_a_failed_activity(scaled):
    scaled.aas.register_scalable_target(**COPIES, MinCapacity=9, MaxCapacity=20)
    scaled.minute()
    assert scaled.copies() == (1, 1)
    activity = scaled.activities()[0]
    assert activity["StatusCode"] == "Failed" and "Insufficient resources for 9 copies" in activity["StatusMessage"]


def test_a_deleted_component_takes_its_target_along(scaled):
    scaled.aas.register_scalable_target(**COPIES, MinCapacity=1, MaxCapacity=4)
    scaled.settle()
    scaled.sm.delete_inference_component(InferenceComponentName="one")
    eventually(lambda: not scaled.sm.list_inference_components()["InferenceComponents"])
    scaled.settle()
    assert scaled.aas.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
