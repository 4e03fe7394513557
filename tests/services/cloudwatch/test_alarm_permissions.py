"""Who may do what with alarms: actions on alarm ARNs, tags at creation, composites by name."""

from __future__ import annotations

import json

import pytest

from tests.security.test_permissions import allow, refused, user
from tests.services.cloudwatch.conftest import metric_alarm

ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"
CALLS = {
    "put_metric_alarm": metric_alarm("mine-1"),
    "put_composite_alarm": {"AlarmName": "mine-c", "AlarmRule": "ALARM(mine-1)"},
    "set_alarm_state": {"AlarmName": "mine-1", "StateValue": "OK", "StateReason": "r"},
    "describe_alarms": {"AlarmNames": ["mine-1"]},
    "describe_alarm_history": {"AlarmName": "mine-1"},
    "describe_alarms_for_metric": {"MetricName": "m", "Namespace": "App"},
    "enable_alarm_actions": {"AlarmNames": ["mine-1"]},
    "disable_alarm_actions": {"AlarmNames": ["mine-1"]},
    "tag_resource": {"ResourceARN": f"{ARN}mine-1", "Tags": [{"Key": "k", "Value": "v"}]},
    "untag_resource": {"ResourceARN": f"{ARN}mine-1", "TagKeys": ["k"]},
    "list_tags_for_resource": {"ResourceARN": f"{ARN}mine-1"},
    "delete_alarms": {"AlarmNames": ["mine-c", "mine-1"]},
}
CODES = ("AccessDenied", "AccessDeniedException")


def test_all_of_them_are_allowed_on_ones_own_and_denied_without(moved):
    nobody = user(moved, "nobody", allow("s3:*", "*"))("cloudwatch")
    mine = user(moved, "mine", allow("cloudwatch:*", f"{ARN}mine-*"), allow("cloudwatch:DescribeAlarmsForMetric", "*"))("cloudwatch")
    for name, request in CALLS.items():
        refused(getattr(nobody, name), *CODES, **request)
        getattr(mine, name)(**request)


@pytest.mark.parametrize("name", ["put_metric_alarm", "set_alarm_state", "delete_alarms", "disable_alarm_actions"])
def test_not_on_those_of_others(moved, name):
    moved.client("cloudwatch").put_metric_alarm(**metric_alarm("yours"))
    mine = user(moved, "mine", allow("cloudwatch:*", f"{ARN}mine-*"))("cloudwatch")
    request = json.loads(json.dumps(CALLS[name]).replace("mine-1", "yours"))
    text = refused(getattr(mine, name), *CODES, **request)
    assert f"{ARN}yours" in text


def test_tags_at_creation_need_their_own_permission(moved):
    writer = user(moved, "writer", allow("cloudwatch:PutMetricAlarm", "*"))("cloudwatch")
    writer.put_metric_alarm(**metric_alarm())
    assert "cloudwatch:TagResource" in refused(writer.put_metric_alarm, *CODES, **metric_alarm("b", Tags=[{"Key": "k", "Value": "v"}]))
