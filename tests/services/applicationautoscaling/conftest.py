from __future__ import annotations

from typing import Any

import pytest

from modelyard.kernel.clock import ManualClock
from tests.support.hosting import Hosting, eventually

KINDS = {"metric-alarm", "alarm-action", "scalable-target", "scaling-policy", "scaling-scheduled-action"}
RESOURCE = "endpoint/e/variant/m"
COUNT = "sagemaker:variant:DesiredInstanceCount"
PLACE = {"ServiceNamespace": "sagemaker", "ResourceId": RESOURCE, "ScalableDimension": COUNT}
BEGIN = 1_790_000_040.0
"""A full minute."""


class Scaled(Hosting):
    """An endpoint `e` with one variant `m`, Application Auto Scaling, CloudWatch and a clock by hand."""

    def __init__(self, folder: Any, **more: Any) -> None:
        self.clock = ManualClock(BEGIN)
        super().__init__(folder, clock=self.clock, **more)
        self.aas, self.cw = self.yard.client("application-autoscaling"), self.yard.client("cloudwatch")

    def settle(self) -> None:
        self.yard.settle(KINDS)

    def minute(self, per_instance: float | None = None, name: str = "InvocationsPerInstance", namespace: str = "AWS/SageMaker") -> None:
        """A minute passes; in it the variant had so many invocations per instance."""
        if per_instance is not None:
            dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "m"}]
            datum = {"MetricName": name, "Dimensions": dimensions, "Value": per_instance, "Timestamp": self.clock.now() + 30}
            self.platform.metrics.put(self.settings.account, "us-east-1", namespace, [datum])
        self.clock.advance(60.0)
        self.settle()

    @property
    def settings(self) -> Any:
        return self.yard.settings

    def count(self) -> int:
        return self.sm.describe_endpoint(EndpointName="e")["ProductionVariants"][0]["DesiredInstanceCount"]

    def activities(self, **more: Any) -> list[dict[str, Any]]:
        return self.aas.describe_scaling_activities(ServiceNamespace="sagemaker", **more)["ScalingActivities"]

    def until_gone(self) -> None:
        eventually(lambda: not self.sm.list_endpoints()["Endpoints"])

    def register(self, low: int = 1, high: int = 6, **more: Any) -> str:
        return self.aas.register_scalable_target(**PLACE, MinCapacity=low, MaxCapacity=high, **more)["ScalableTargetARN"]

    def track(self, name: str = "p", **config: Any) -> dict[str, Any]:
        metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}
        config = {"TargetValue": 100.0, **({} if "CustomizedMetricSpecification" in config else metric), **config}
        return self.aas.put_scaling_policy(
            **PLACE, PolicyName=name, PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=config
        )


@pytest.fixture
def scaled(tmp_path):
    made = Scaled(tmp_path)
    made.deploy("e")
    yield made
    made.close()
