"""Composite alarms: the rule's language, their state, and suppression of their actions."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.services.cloudwatch.alarm import rule
from tests.services.cloudwatch.conftest import TOPIC, metric_alarm

ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"


@pytest.fixture
def cloudwatch(moved):
    client = moved.client("cloudwatch")
    for name in ("a", "b", "s"):
        client.put_metric_alarm(**metric_alarm(name, MetricName=name, TreatMissingData="ignore"))
    return client


def set_state(moved, name, value):
    moved.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue=value, StateReason="test")
    moved.settle()


RULES = [
    ("TRUE", True),
    ("FALSE", False),
    ("ALARM(a)", True),
    ('ALARM("a") AND OK(b)', True),
    ("NOT ALARM(a)", False),
    ("NOT (ALARM(a) AND ALARM(b))", True),
    ("ALARM(b) OR ALARM(a) AND OK(b)", True),
    ("(ALARM(b) OR ALARM(a)) AND ALARM(b)", False),
    (f'alarm("{ARN}a") and not insufficient_data(b)', True),
    ("INSUFFICIENT_DATA(c)", False),
    ("AT_LEAST(2, ALARM, (a, b, c))", False),
    ('AT_LEAST(1, ALARM, ("a", b, "c d"))', True),
    (f'at_least(2, NOT ALARM, ("{ARN}a", "b", c)) AND ALARM(a)', True),
    ("AT_LEAST(34%, OK, (a, b, c))", False),
    ("AT_LEAST(33%, OK, (a, b, c))", True),
    ('AT_LEAST("50%", ALARM, (a, b)) AND NOT ALARM(b)', True),
    ("AT_LEAST(4, ALARM, (a, b, c))", None),
    ("AT_LEAST(0, ALARM, (a))", None),
    ("AT_LEAST(101%, ALARM, (a))", None),
    ("AT_LEAST(1, ALARM, ())", None),
    ("AT_LEAST(1, ALARM(a), ALARM(b))", None),
    (r'ALARM("with \"quotes\"")', True),
    ("OK( my alarm (x) )", None),
    ("", None),
    ("ALARM(a) ALARM(b)", None),
    ("ALARM(a) AND", None),
    ("(ALARM(a)", None),
    ("MAYBE(a)", None),
    ("a", None),
    ("NOT " * 300 + "TRUE", None),
    (" OR ".join(f"OK(n{n})" for n in range(101)), None),
    (" OR ".join(["OK(a)"] * 501), None),
]


@pytest.mark.parametrize(("text", "value"), RULES)
def test_rules(text, value):
    states = {"a": "ALARM", "b": "OK", 'with "quotes"': "ALARM"}
    if value is None:
        with pytest.raises(rule.RuleError):
            rule.parse(text)
    else:
        assert rule.holds(rule.parse(text), lambda written: states.get(rule.name_of(written))) is value


def test_it_follows_its_children(moved, cloudwatch):
    cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(a) AND NOT ALARM(b)", AlarmActions=[TOPIC], OKActions=[TOPIC])
    moved.settle()
    (one,) = cloudwatch.describe_alarms(AlarmNames=["c"], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert one["StateValue"] == "OK" and one["StateReason"] == f"{ARN}c was created and its alarm rule evaluates to OK"
    set_state(moved, "a", "ALARM")
    (one,) = cloudwatch.describe_alarms(AlarmNames=["c"], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert one["StateReason"] == f"{ARN}a transitioned to ALARM at Tuesday 14 November, 2023 22:14:00 UTC"
    (trigger,) = json.loads(one["StateReasonData"])["triggeringAlarms"]
    assert trigger == {"arn": f"{ARN}a", "state": {"value": "ALARM", "timestamp": "2023-11-14T22:14:00.000+0000"}}
    told = json.loads(moved.sent[-1].body)
    assert told["NewStateValue"] == "ALARM" and told["AlarmRule"] == "ALARM(a) AND NOT ALARM(b)" and "Trigger" not in told
    assert told["TriggeringChildren"] == [{"Arn": f"{ARN}a", "State": {"Value": "ALARM", "Timestamp": "2023-11-14T22:14:00.000+0000"}}]
    set_state(moved, "b", "ALARM")
    assert moved.state("c") == "OK" and [json.loads(s.body)["NewStateValue"] for s in moved.sent] == ["OK", "ALARM", "OK"]


def test_composites_of_composites_settle_in_one_go(moved, cloudwatch):
    cloudwatch.put_composite_alarm(AlarmName="inner", AlarmRule="ALARM(a)")
    cloudwatch.put_composite_alarm(AlarmName="outer", AlarmRule=f'ALARM("{ARN}inner") OR ALARM(b)')
    set_state(moved, "a", "ALARM")
    assert (moved.state("inner"), moved.state("outer")) == ("ALARM", "ALARM")


def test_a_set_state_stays_until_a_child_changes_or_the_rule_does(moved, cloudwatch):
    cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(a)")
    moved.settle()
    set_state(moved, "c", "ALARM")
    moved.clock.advance(600)
    moved.settle()
    assert moved.state("c") == "ALARM"
    set_state(moved, "a", "OK")
    assert moved.state("c") == "OK"
    set_state(moved, "c", "ALARM")
    cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(a) OR FALSE")
    moved.settle()
    assert moved.state("c") == "OK"


def suppressed(cloudwatch):
    (one,) = cloudwatch.describe_alarms(AlarmNames=["c"], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    return one.get("ActionsSuppressedBy"), one.get("ActionsSuppressedReason")


@pytest.fixture
def held(moved, cloudwatch):
    cloudwatch.put_composite_alarm(
        AlarmName="c", AlarmRule="ALARM(a)", AlarmActions=[TOPIC], OKActions=[TOPIC], ActionsSuppressor="s",
        ActionsSuppressorWaitPeriod=120, ActionsSuppressorExtensionPeriod=60,
    )  # fmt: skip
    moved.settle()
    moved.sent.clear()
    return cloudwatch


def test_actions_wait_for_a_suppressor_that_does_not_come(moved, held):
    set_state(moved, "a", "ALARM")
    assert moved.state("c") == "ALARM" and moved.sent == []
    assert suppressed(held) == ("WaitPeriod", "Actions suppressed by WaitPeriod")
    moved.clock.advance(119)
    moved.settle()
    assert moved.sent == []
    moved.clock.advance(1)
    moved.settle()
    assert [json.loads(s.body)["NewStateValue"] for s in moved.sent] == ["ALARM"] and suppressed(held) == (None, None)
    assert json.loads(moved.sent[0].body)["OldStateValue"] == "OK"


def test_a_suppressor_in_alarm_holds_actions_back_and_a_while_after(moved, held):
    set_state(moved, "a", "ALARM")
    set_state(moved, "s", "ALARM")
    assert suppressed(held)[0] == "Alarm"
    moved.clock.advance(600)
    moved.settle()
    assert moved.sent == []
    set_state(moved, "s", "OK")
    assert suppressed(held)[0] == "ExtensionPeriod"
    moved.clock.advance(59)
    moved.settle()
    assert moved.sent == []
    moved.clock.advance(1)
    moved.settle()
    assert [json.loads(s.body)["NewStateValue"] for s in moved.sent] == ["ALARM"]


def test_an_alarm_that_ends_while_suppressed_tells_nobody(moved, held):
    set_state(moved, "s", "ALARM")
    set_state(moved, "a", "ALARM")
    assert suppressed(held)[0] == "Alarm"
    set_state(moved, "a", "OK")
    set_state(moved, "s", "OK")
    moved.clock.advance(600)
    moved.settle()
    assert moved.state("c") == "OK" and moved.sent == [] and suppressed(held) == (None, None)


def test_what_bad_composites_get(moved, cloudwatch):
    def wrong(text, **more):
        with pytest.raises(ClientError, match=text) as found:
            cloudwatch.put_composite_alarm(**{"AlarmName": "c", "AlarmRule": "ALARM(a)", **more})
        assert found.value.response["Error"]["Code"] == "ValidationError"

    wrong(r"Could not save the composite alarm as alarms \[x\] in the alarm rule do not exist", AlarmRule="ALARM(a) OR OK(x)")
    wrong("Invalid AlarmRule", AlarmRule="ALARM(a) OR")
    wrong("cannot perform", AlarmActions=["arn:aws:autoscaling:us-east-1:1:scalingPolicy:x"])
    wrong("must be specified with ActionsSuppressor", ActionsSuppressor="s")
    wrong("without ActionsSuppressor", ActionsSuppressorWaitPeriod=1)
    wrong("not the ARN of an alarm of this account", AlarmRule='ALARM("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:a")')
    wrong("is a metric alarm", AlarmName="b")


def test_deleting_what_others_depend_on(moved, cloudwatch):
    cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(a) OR ALARM(b)")
    cloudwatch.put_composite_alarm(AlarmName="d", AlarmRule="ALARM(c)")

    def wrong(names, text):
        with pytest.raises(ClientError, match=text) as found:
            cloudwatch.delete_alarms(AlarmNames=names)
        assert found.value.response["Error"]["Code"] == "ValidationError"

    wrong(["a"], r"Cannot delete a as there are composite alarm\(s\) depending on it\.")
    wrong(["a", "b"], r"Cannot delete a,b as there are composite alarm\(s\) depending on them\.")
    wrong(["c", "d"], "more than one composite alarm")
    cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(d)")
    moved.settle()
    wrong(["c"], "depending on it")
    wrong(["d"], "depending on it")
    cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule="FALSE")
    cloudwatch.delete_alarms(AlarmNames=["d"])
    cloudwatch.delete_alarms(AlarmNames=["c", "a", "b"])
    left = cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    assert [one["AlarmName"] for one in left["MetricAlarms"] + left["CompositeAlarms"]] == ["s"]


def test_a_circle_is_not_judged(moved, cloudwatch):
    cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(a)")
    cloudwatch.put_composite_alarm(AlarmName="d", AlarmRule="NOT ALARM(c)")
    moved.settle()
    assert moved.state("d") == "ALARM"
    cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(d)")
    moved.settle()
    assert (moved.state("c"), moved.state("d")) == ("OK", "ALARM"), "it would flap for ever"
