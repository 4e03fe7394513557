from __future__ import annotations

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Service
from tests.support.platform import InProcess

START = 1_700_000_040.0
"""A whole minute."""
TOPIC = "arn:aws:sns:us-east-1:123456789012:bell"


class Yard(InProcess):
    """A platform with a clock to move, and a receiver for what alarms send to SNS, Lambda and autoscaling."""

    def __init__(self, folder):
        self.clock = ManualClock(START)
        super().__init__(folder, clock=self.clock)
        self.sent, self.refusals = [], []
        receiver = Service("sns")
        receiver.target_names = frozenset({"sns", "lambda", "autoscaling"})

        @receiver.target
        def deliver(platform, delivery):
            if self.refusals:
                raise self.refusals.pop(0)
            if "nobody" in delivery.arn:
                raise ApiError("NotFound", "Topic does not exist", 404)
            self.sent.append(delivery)

        self.platform.services = {"sns": receiver, **{n: s for n, s in self.platform.services.items() if n not in ("sns", "lambda")}}

    def put(self, *values, name="m", at=None, **more):
        for value in values:
            datum = {"MetricName": name, "Value": value, "Timestamp": self.clock.now() if at is None else at, **more}
            self.client("cloudwatch").put_metric_data(Namespace="App", MetricData=[datum])

    def pass_minutes(self, *values, name="m"):
        """A minute for each value (None: no data in it), with a look of the engine after each."""
        for value in values:
            self.clock.jump_to(self.clock.now() + 30)
            if value is not None:
                self.put(value, name=name)
            self.clock.jump_to(self.clock.now() + 30)
            self.settle()

    def state(self, name="a"):
        answer = self.client("cloudwatch").describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        (one,) = answer["MetricAlarms"] + answer["CompositeAlarms"]
        return one["StateValue"]

    def history(self, name="a", **more):
        items = self.client("cloudwatch").describe_alarm_history(AlarmName=name, ScanBy="TimestampAscending", **more)["AlarmHistoryItems"]
        return [(item["HistoryItemType"], item["HistorySummary"]) for item in items]


@pytest.fixture
def moved(tmp_path):
    made = Yard(tmp_path)
    yield made
    made.close()


def metric_alarm(name="a", **more):
    base = {
        "AlarmName": name,
        "Namespace": "App",
        "MetricName": "m",
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    return {key: value for key, value in {**base, **more}.items() if value is not None}
