"""Metric alarms through a real boto3 client, on a clock that the test moves."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.errors import ApiError
from tests.services.cloudwatch.conftest import START, TOPIC, metric_alarm


@pytest.fixture
def cloudwatch(moved):
    return moved.client("cloudwatch")


def test_an_alarm_fires_tells_and_recovers(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm(AlarmActions=[TOPIC], OKActions=[TOPIC], AlarmDescription="d", EvaluationPeriods=2))
    moved.settle()
    assert moved.state() == "INSUFFICIENT_DATA"
    moved.pass_minutes(1.0, 9.0)
    assert moved.state() == "OK"
    moved.pass_minutes(9.0)
    (one,) = cloudwatch.describe_alarms(AlarmNames=["a"])["MetricAlarms"]
    assert one["StateValue"] == "ALARM"
    assert one["StateReason"] == (
        "Threshold Crossed: 2 datapoints [9.0 (14/11/23 22:16:00), 9.0 (14/11/23 22:15:00)] were greater than the threshold (5.0)."
    )
    assert json.loads(one["StateReasonData"])["recentDatapoints"] == [9.0, 9.0]
    assert one["StateUpdatedTimestamp"].timestamp() == START + 180
    moved.pass_minutes(9.0, 9.0, 1.0)
    assert moved.state() == "OK"
    assert [json.loads(one.body)["NewStateValue"] for one in moved.sent] == ["OK", "ALARM", "OK"], "once per change"
    assert len({one.key for one in moved.sent}) == 3
    assert [kind for kind, _ in moved.history()] == ["ConfigurationUpdate", *["StateUpdate", "Action"] * 3]


def test_the_message_to_sns(moved, cloudwatch):
    cloudwatch.put_metric_alarm(
        **metric_alarm(
            AlarmActions=[TOPIC], AlarmDescription="hot", Dimensions=[{"Name": "Host", "Value": "h"}], TreatMissingData="breaching"
        )
    )
    moved.settle()
    (sent,) = moved.sent
    assert (sent.arn, sent.source, sent.subject) == (TOPIC, "cloudwatch.amazonaws.com", 'ALARM: "a" in US East (N. Virginia)')
    assert sent.source_arn == "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a"
    assert json.loads(sent.body) == {
        "AlarmName": "a",
        "AlarmDescription": "hot",
        "AWSAccountId": "123456789012",
        "AlarmConfigurationUpdatedTimestamp": "2023-11-14T22:14:00.000+0000",
        "NewStateValue": "ALARM",
        "NewStateReason": "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as [Breaching].",
        "StateChangeTime": "2023-11-14T22:14:00.000+0000",
        "Region": "US East (N. Virginia)",
        "AlarmArn": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a",
        "OldStateValue": "INSUFFICIENT_DATA",
        "OKActions": [],
        "AlarmActions": [TOPIC],
        "InsufficientDataActions": [],
        "ActionExecutedAfterMuteWindow": False,
        "Trigger": {
            "MetricName": "m",
            "Namespace": "App",
            "StatisticType": "Statistic",
            "Statistic": "AVERAGE",
            "Unit": None,
            "Dimensions": [{"value": "h", "name": "Host"}],
            "Period": 60,
            "EvaluationPeriods": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 5.0,
            "TreatMissingData": "breaching",
            "EvaluateLowSampleCountPercentile": "",
        },
    }


def test_the_event_of_a_change_of_state(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm(TreatMissingData="breaching"))
    moved.settle()
    (told,) = [e.detail["eventbridge"] for e in moved.platform.store.events() if "transition" in e.detail]
    assert told["detail-type"] == "CloudWatch Alarm State Change" and told["source"] == "aws.cloudwatch"
    assert told["resources"] == ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:a"]
    assert told["detail"]["alarmName"] == "a"
    assert told["detail"]["state"]["value"] == "ALARM" and told["detail"]["previousState"]["reason"] == "Unchecked: Initial alarm creation"
    (query,) = told["detail"]["configuration"]["metrics"]
    assert query["metricStat"] == {"metric": {"namespace": "App", "name": "m", "dimensions": {}}, "period": 60, "stat": "Average"}


def test_m_of_n(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm(EvaluationPeriods=3, DatapointsToAlarm=2))
    moved.pass_minutes(9.0, 1.0, 1.0)
    assert moved.state() == "OK"
    moved.pass_minutes(9.0)
    assert moved.state() == "OK"
    moved.pass_minutes(9.0)
    assert moved.state() == "ALARM"


@pytest.mark.parametrize(("treat", "state"), [("missing", "INSUFFICIENT_DATA"), ("ignore", "ALARM"), ("breaching", "ALARM"), ("notBreaching", "OK"), (None, "INSUFFICIENT_DATA")])  # fmt: skip
def test_when_data_stops(moved, cloudwatch, treat, state):
    cloudwatch.put_metric_alarm(**metric_alarm(TreatMissingData=treat))
    moved.pass_minutes(9.0, None, None)
    assert moved.state() == "ALARM", "the last data point is looked at while it is in the evaluation range"
    moved.pass_minutes(None)
    assert moved.state() == state


def test_extended_statistics(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm("p", Statistic=None, ExtendedStatistic="p90", Threshold=8.0))
    cloudwatch.put_metric_alarm(**metric_alarm("tm", Statistic=None, ExtendedStatistic="tm90", Threshold=8.0))
    cloudwatch.put_metric_alarm(**metric_alarm("tc", Statistic=None, ExtendedStatistic="TC(4:7)", Threshold=2.5))
    cloudwatch.put_metric_alarm(**metric_alarm("pr", Statistic=None, ExtendedStatistic="PR(:5)", Threshold=49.0))
    moved.put(*map(float, range(1, 11)))
    moved.clock.advance(60)
    moved.settle()
    assert [moved.state(name) for name in ("p", "tm", "tc", "pr")] == ["ALARM", "OK", "ALARM", "ALARM"]


def test_ten_seconds(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm(Period=10))
    moved.put(9.0, StorageResolution=1)
    moved.clock.advance(10)
    moved.settle()
    assert moved.state() == "ALARM"
    moved.put(1.0, StorageResolution=1)
    moved.clock.advance(9)
    moved.settle()
    assert moved.state() == "ALARM"
    moved.clock.advance(1)
    moved.settle()
    assert moved.state() == "OK"


def test_windows_of_five_minutes_slide_by_the_minute(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm(Period=300, Statistic="Sum", Threshold=2.5))
    moved.pass_minutes(1.0, 1.0)
    assert moved.state() == "OK"
    moved.pass_minutes(1.0)
    assert moved.state() == "ALARM", "three within the last five minutes, at no border of five minutes"


def test_metric_math(moved, cloudwatch):
    def stat(name):
        return {"Metric": {"Namespace": "App", "MetricName": name}, "Period": 60, "Stat": "Sum"}

    cloudwatch.put_metric_alarm(
        AlarmName="a",
        EvaluationPeriods=1,
        Threshold=10.0,
        ComparisonOperator="GreaterThanThreshold",
        Metrics=[
            {"Id": "rate", "Expression": "100 * errors / IF(calls == 0, 1, calls)", "Label": "error rate"},
            {"Id": "errors", "MetricStat": stat("e"), "ReturnData": False},
            {"Id": "calls", "MetricStat": stat("c"), "ReturnData": False},
        ],
        AlarmActions=[TOPIC],
    )
    moved.put(100.0, name="c")
    moved.put(9.0, name="e")
    moved.clock.advance(60)
    moved.settle()
    assert moved.state() == "OK"
    moved.put(100.0, name="c")
    moved.put(11.0, name="e")
    moved.clock.advance(60)
    moved.settle()
    assert moved.state() == "ALARM"
    trigger = json.loads(moved.sent[0].body)["Trigger"]
    assert trigger["Metrics"][0] == {
        "Expression": "100 * errors / IF(calls == 0, 1, calls)",
        "Id": "rate",
        "Label": "error rate",
        "ReturnData": True,
    }
    assert trigger["Metrics"][1]["MetricStat"]["Metric"] == {"Dimensions": [], "MetricName": "e", "Namespace": "App"}


def test_data_that_comes_late_is_judged(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm(AlarmActions=[TOPIC], OKActions=[TOPIC]))
    moved.pass_minutes(1.0, 1.0)
    late = moved.clock.now() + 30
    moved.clock.advance(60)
    moved.settle()
    moved.put(1.0)
    moved.put(99.0, at=late)
    moved.clock.advance(60)
    moved.settle()
    words = [text for kind, text in moved.history() if kind == "StateUpdate"]
    assert words == ["Alarm updated from INSUFFICIENT_DATA to OK", "Alarm updated from OK to ALARM", "Alarm updated from ALARM to OK"]
    assert [json.loads(one.body)["NewStateValue"] for one in moved.sent] == ["OK", "ALARM", "OK"]


def test_an_engine_that_was_away_judges_each_period_in_order(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm())
    moved.pass_minutes(1.0)
    for value in (9.0, 1.0, 9.0, 1.0):
        moved.put(value)
        moved.clock.advance(60)
    moved.settle()
    words = [text.removeprefix("Alarm updated from ") for kind, text in moved.history() if kind == "StateUpdate"]
    assert words == ["INSUFFICIENT_DATA to OK", "OK to ALARM", "ALARM to OK", "OK to ALARM", "ALARM to OK"]


def test_a_quiet_alarm_writes_no_events(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm())
    moved.pass_minutes(1.0)
    before = moved.platform.store.last_seq()
    moved.pass_minutes(1.0, 1.0, 1.0)
    assert moved.platform.store.last_seq() == before


def test_setting_a_state_acts_and_lasts_until_the_next_evaluation(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm(AlarmActions=[TOPIC]))
    moved.pass_minutes(1.0)
    cloudwatch.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="a rehearsal", StateReasonData='{"by": "hand"}')
    (one,) = cloudwatch.describe_alarms(AlarmNames=["a"])["MetricAlarms"]
    assert (one["StateValue"], one["StateReason"], one["StateReasonData"]) == ("ALARM", "a rehearsal", '{"by": "hand"}')
    moved.settle()
    assert moved.state() == "ALARM" and len(moved.sent) == 1
    cloudwatch.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="again")
    moved.settle()
    assert len(moved.sent) == 1, "no change, no action"
    moved.pass_minutes(1.0)
    assert moved.state() == "OK"


def test_a_changed_configuration_keeps_the_state_until_it_is_judged(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm(AlarmActions=[TOPIC]))
    moved.pass_minutes(9.0)
    cloudwatch.put_metric_alarm(**metric_alarm(Threshold=50.0))
    assert moved.state() == "ALARM"
    moved.settle()
    assert moved.state() == "OK"
    (one,) = cloudwatch.describe_alarms(AlarmNames=["a"])["MetricAlarms"]
    assert one["AlarmActions"] == [], "the whole configuration is replaced"
    assert ("ConfigurationUpdate", 'Alarm "a" updated') in moved.history()


def test_disabled_actions(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm(AlarmActions=[TOPIC]))
    cloudwatch.disable_alarm_actions(AlarmNames=["a", "unknown"])
    moved.pass_minutes(9.0)
    assert moved.state() == "ALARM" and moved.sent == []
    cloudwatch.enable_alarm_actions(AlarmNames=["a"])
    moved.pass_minutes(1.0, 9.0)
    assert len(moved.sent) == 1


def test_a_failed_action_is_told_with_its_reason(moved, cloudwatch):
    nobody = TOPIC.replace("bell", "nobody")
    cloudwatch.put_metric_alarm(**metric_alarm(AlarmActions=[nobody, TOPIC]))
    moved.pass_minutes(9.0)
    acts = cloudwatch.describe_alarm_history(AlarmName="a", HistoryItemType="Action")["AlarmHistoryItems"]
    by_arn = {json.loads(item["HistoryData"])["notificationResource"]: item for item in acts}
    assert by_arn[nobody]["HistorySummary"].startswith(f"Failed to execute action {nobody}. Received error:")
    assert "Topic does not exist" in json.loads(by_arn[nobody]["HistoryData"])["error"]
    assert by_arn[TOPIC]["HistorySummary"] == f"Successfully executed action {TOPIC}"
    message = json.loads(json.loads(by_arn[TOPIC]["HistoryData"])["publishedMessage"])["default"]
    assert json.loads(message)["AlarmName"] == "a"


def test_an_action_is_tried_again_where_the_target_stumbles(moved, cloudwatch):
    moved.refusals[:] = [RuntimeError("disk"), ApiError("InternalFailure", "oops", 500)]
    cloudwatch.put_metric_alarm(**metric_alarm(AlarmActions=[TOPIC]))
    moved.pass_minutes(9.0)
    assert len(moved.sent) == 1
    assert [text for kind, text in moved.history() if kind == "Action"] == [f"Successfully executed action {TOPIC}"]


def test_autoscaling_is_told_each_minute_and_lambda_by_its_own_event(moved, cloudwatch):
    policy = "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:1:resource/sagemaker/endpoint/e/variant/v:policyName/p"
    function = "arn:aws:lambda:us-east-1:123456789012:function:f"
    cloudwatch.put_metric_alarm(**metric_alarm(AlarmActions=[policy, function]))
    moved.pass_minutes(9.0, 9.0, 9.0, 1.0, 1.0)
    assert [one.arn for one in moved.sent].count(policy) == 3
    assert len({one.key for one in moved.sent}) == 4
    (to_lambda,) = [json.loads(one.body) for one in moved.sent if one.arn == function]
    assert to_lambda["alarmData"]["state"]["value"] == "ALARM" and to_lambda["accountId"] == "123456789012"
    assert [text for kind, text in moved.history() if kind == "Action"].count(f"Successfully executed action {policy}") == 1


def test_an_action_nobody_takes(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm(AlarmActions=["arn:aws:automate:us-east-1:ec2:stop"]))
    moved.pass_minutes(9.0)
    (text,) = [text for kind, text in moved.history() if kind == "Action"]
    assert text.startswith("Failed to execute action") and "takes deliveries" in text


def test_history_outlives_the_alarm_and_pages(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm())
    moved.pass_minutes(9.0, 1.0, 9.0)
    cloudwatch.delete_alarms(AlarmNames=["a"])
    assert [text for _, text in moved.history()][::4] == ['Alarm "a" created', 'Alarm "a" deleted']
    pages = list(cloudwatch.get_paginator("describe_alarm_history").paginate(AlarmName="a", PaginationConfig={"PageSize": 2}))
    assert [len(page["AlarmHistoryItems"]) for page in pages] == [2, 2, 1]
    newest = cloudwatch.describe_alarm_history(AlarmName="a", MaxRecords=1)["AlarmHistoryItems"]
    assert newest[0]["HistorySummary"] == 'Alarm "a" deleted'
    updates = cloudwatch.describe_alarm_history(HistoryItemType="StateUpdate", ScanBy="TimestampAscending")["AlarmHistoryItems"]
    data = json.loads(updates[1]["HistoryData"])
    assert data["oldState"]["stateValue"] == "ALARM" and data["newState"]["stateReasonData"]["recentDatapoints"] == [1.0]
    created = json.loads(cloudwatch.describe_alarm_history(HistoryItemType="ConfigurationUpdate", ScanBy="TimestampAscending")["AlarmHistoryItems"][0]["HistoryData"])  # fmt: skip
    assert created["type"] == "Create" and created["createdAlarm"]["threshold"] == 5.0 and created["createdAlarm"]["metricName"] == "m"


def test_describing_with_filters_and_pages(moved, cloudwatch):
    for name in ("x-1", "x-2", "y-1"):
        cloudwatch.put_metric_alarm(**metric_alarm(name, AlarmActions=[TOPIC] if name == "y-1" else []))
    cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule='ALARM("x-1") OR ALARM(x-2)')
    moved.settle()

    def names(**more):
        answer = cloudwatch.describe_alarms(**more)
        return [one["AlarmName"] for one in answer["MetricAlarms"] + answer["CompositeAlarms"]]

    assert names() == ["x-1", "x-2", "y-1"], "metric alarms unless asked"
    assert names(AlarmTypes=["CompositeAlarm"]) == ["c"]
    assert names(AlarmNamePrefix="x") == ["x-1", "x-2"]
    assert names(AlarmNames=["y-1", "nothing"]) == ["y-1"]
    assert names(ActionPrefix="arn:aws:sns") == ["y-1"]
    assert names(StateValue="OK", AlarmTypes=["CompositeAlarm", "MetricAlarm"]) == ["c"]
    assert names(ChildrenOfAlarmName="c") == ["x-1", "x-2"]
    assert names(ParentsOfAlarmName="x-2") == ["c"]
    pages = cloudwatch.get_paginator("describe_alarms").paginate(PaginationConfig={"PageSize": 2})
    assert [[one["AlarmName"] for one in page["MetricAlarms"]] for page in pages] == [["x-1", "x-2"], ["y-1"]]


def test_alarms_of_a_metric(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm("one", Dimensions=[{"Name": "H", "Value": "1"}]))
    cloudwatch.put_metric_alarm(**metric_alarm("two", Period=300))
    find = cloudwatch.describe_alarms_for_metric
    assert [a["AlarmName"] for a in find(MetricName="m", Namespace="App")["MetricAlarms"]] == ["two"]
    assert [a["AlarmName"] for a in find(MetricName="m", Namespace="App", Dimensions=[{"Name": "H", "Value": "1"}])["MetricAlarms"]] == [
        "one"
    ]
    assert find(MetricName="m", Namespace="App", Period=60)["MetricAlarms"] == []


def test_tags(moved, cloudwatch):
    cloudwatch.put_metric_alarm(**metric_alarm(Tags=[{"Key": "team", "Value": "ml"}]))
    arn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a"
    cloudwatch.tag_resource(ResourceARN=arn, Tags=[{"Key": "stage", "Value": "prod"}])
    cloudwatch.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "stage", "Value": "prod"}]
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn + "b")["Tags"] == []
    with pytest.raises(ClientError, match="does not exist") as wrong:
        cloudwatch.tag_resource(ResourceARN=arn + "b", Tags=[{"Key": "stage", "Value": "prod"}])
    assert wrong.value.response["Error"]["Code"] == "ResourceNotFoundException"


METRIC = {"Metric": {"Namespace": "App", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
MATH = {"Namespace": None, "MetricName": None, "Statistic": None, "Period": None}
BAD = [
    ({"Period": 45}, "Period must be 10, 20, 30 or a multiple of 60"),
    ({"Period": 1}, "Period must be 10, 20, 30 or a multiple of 60"),
    ({"Statistic": None}, "Must specify either Statistic or ExtendedStatistic"),
    ({"ExtendedStatistic": "p99"}, "cannot both be specified"),
    ({"Statistic": None, "ExtendedStatistic": "p101"}, "is not supported"),
    ({"Statistic": None, "ExtendedStatistic": "median"}, "is not supported"),
    ({"Threshold": None}, "The parameter Threshold must be specified"),
    ({"DatapointsToAlarm": 2}, "DatapointsToAlarm must be less than or equal to EvaluationPeriods"),
    ({"TreatMissingData": "bad"}, "TreatMissingData"),
    ({"EvaluateLowSampleCountPercentile": "ignore"}, "EvaluateLowSampleCountPercentile"),
    ({"EvaluationPeriods": 1441}, "Metrics cannot be checked across more than a day"),
    ({"Period": 86_400, "EvaluationPeriods": 8}, "604800"),
    ({"AlarmActions": ["nonsense"]}, "Invalid arn syntax: nonsense"),
    ({"Metrics": [{"Id": "m1", "MetricStat": METRIC}]}, "Metrics cannot be specified together with MetricName"),
    ({**MATH, "Metrics": [{"Id": "m1", "MetricStat": METRIC}, {"Id": "m2", "MetricStat": METRIC}]}, "Exactly one element"),
    ({**MATH, "Metrics": [{"Id": "e", "Expression": "m1 +"}, {"Id": "m1", "MetricStat": METRIC, "ReturnData": False}]}, "Error in expression 'e'"),
    ({**MATH, "Metrics": [{"Id": "e", "Expression": "m1 + x"}, {"Id": "m1", "MetricStat": METRIC, "ReturnData": False}]}, r"Unknown identifier\(s\): x"),
    ({**MATH, "Metrics": [{"Id": "e", "Expression": "ANOMALY_DETECTION_BAND(m1)"}, {"Id": "m1", "MetricStat": METRIC, "ReturnData": False}]}, "has not built"),
    ({**MATH, "Metrics": [{"Id": "e", "Expression": "SUM(SEARCH('m', 'Sum', 60))"}, {"Id": "m1", "MetricStat": METRIC, "ReturnData": False}]}, "SEARCH is not supported"),
    ({**MATH, "Metrics": [{"Id": "M", "MetricStat": METRIC}]}, "lowercase letter"),
    ({"MetricName": None}, "MetricName must be specified"),
    ({"ThresholdMetricId": "ad1"}, "has not built"),
    ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "has not built"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "text"), BAD)
def test_what_bad_alarms_get(cloudwatch, more, text):
    with pytest.raises(ClientError, match=text) as wrong:
        cloudwatch.put_metric_alarm(**metric_alarm(**more))
    assert wrong.value.response["Error"]["Code"] == "ValidationError"
    assert wrong.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []


def test_unknown_alarms(cloudwatch):
    with pytest.raises(ClientError) as wrong:
        cloudwatch.set_alarm_state(AlarmName="x", StateValue="OK", StateReason="r")
    assert wrong.value.response["Error"]["Code"] in ("ResourceNotFound", "ResourceNotFoundException")
    assert isinstance(wrong.value, cloudwatch.exceptions.ResourceNotFound)
    cloudwatch.delete_alarms(AlarmNames=["x"])
    with pytest.raises(ClientError, match="100"):
        cloudwatch.delete_alarms(AlarmNames=[f"x{n}" for n in range(101)])
    with pytest.raises(cloudwatch.exceptions.InvalidNextToken):
        cloudwatch.describe_alarms(NextToken="!")
