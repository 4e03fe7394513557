"""The pure half of metric alarms: AWS's tables of missing data, and AWS's words."""

from __future__ import annotations

import orjson
import pytest

from modelyard.services.cloudwatch.alarm import texts
from modelyard.services.cloudwatch.alarm.evaluate import Point, judge, reason, reason_data

TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
NO_DATA, R = "INSUFFICIENT_DATA", "RETAIN"
TABLE_3_OF_3 = [
    ("0 - X - X", "OK", "OK", "OK", "OK"),
    ("0 - - - -", "OK", "OK", "OK", "OK"),
    ("- - - - -", NO_DATA, R, "ALARM", "OK"),
    ("0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("- - X - -", "ALARM", R, "ALARM", "OK"),
    ("- - - - X", R, R, "ALARM", "OK"),
    ("- - - X -", R, R, "ALARM", "OK"),
    ("- - - X 0", "OK", "OK", "OK", "OK"),
]
TABLE_2_OF_3 = [
    ("0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 - X - -", "OK", "OK", "ALARM", "OK"),
    ("- - - - 0", "OK", "OK", "ALARM", "OK"),
    ("- - - X -", "ALARM", R, "ALARM", "OK"),
]


def alarm(**more):
    base = {"EvaluationPeriods": 3, "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold", "Statistic": "Average", "Period": 60}
    return {**base, **more}


def points(drawing):
    values = {"0": 1.0, "X": 9.0, "-": None}
    return [Point(1_700_000_040.0 + 60 * n, values[sign], None if sign == "-" else 1.0) for n, sign in enumerate(drawing.split())]


@pytest.mark.parametrize("needed", [3, 2])
@pytest.mark.parametrize("place", range(4))
def test_the_documented_tables(needed, place):
    for drawing, *states in TABLE_3_OF_3 if needed == 3 else TABLE_2_OF_3:
        made = judge(alarm(DatapointsToAlarm=needed, TreatMissingData=TREATMENTS[place]), points(drawing))
        assert made.state == states[place], (drawing, TREATMENTS[place])


def test_dynamodb_always_ignores_missing_data():
    assert judge(alarm(Namespace="AWS/DynamoDB", TreatMissingData="breaching"), points("- - - - -")).state == R


@pytest.mark.parametrize(
    ("operator", "states"),
    [
        ("GreaterThanThreshold", ["OK", "OK", "ALARM"]),
        ("GreaterThanOrEqualToThreshold", ["OK", "ALARM", "ALARM"]),
        ("LessThanThreshold", ["ALARM", "OK", "OK"]),
        ("LessThanOrEqualToThreshold", ["ALARM", "ALARM", "OK"]),
    ],
)
def test_operators_at_the_threshold(operator, states):
    one = alarm(EvaluationPeriods=1, ComparisonOperator=operator)
    assert [judge(one, [Point(0.0, value)]).state for value in (4.9, 5.0, 5.1)] == states


def test_percentiles_over_few_samples_wait_when_asked():
    one = alarm(EvaluationPeriods=1, ExtendedStatistic="p99", EvaluateLowSampleCountPercentile="ignore")
    assert judge(one, [Point(0.0, 9.0, 999.0)]).state == R
    assert judge(one, [Point(0.0, 9.0, 1001.0)]).state == "ALARM"
    assert judge({**one, "EvaluateLowSampleCountPercentile": "evaluate"}, [Point(0.0, 9.0, 3.0)]).state == "ALARM"
    assert judge({**one, "ExtendedStatistic": "p10"}, [Point(0.0, 9.0, 99.0)]).state == R


WORDS = [
    (
        {}, "0 0 X X X",
        "Threshold Crossed: 3 datapoints [9.0 (14/11/23 22:18:00), 9.0 (14/11/23 22:17:00), 9.0 (14/11/23 22:16:00)] "
        "were greater than the threshold (5.0).",
    ),
    (
        {"DatapointsToAlarm": 3}, "0 0 X X X",
        "Threshold Crossed: 3 out of the last 3 datapoints [9.0 (14/11/23 22:18:00), 9.0 (14/11/23 22:17:00), 9.0 (14/11/23 22:16:00)] "
        "were greater than the threshold (5.0) (minimum 3 datapoints for OK -> ALARM transition).",
    ),
    (
        {"EvaluationPeriods": 1}, "0 X 0",
        "Threshold Crossed: 1 datapoint [1.0 (14/11/23 22:16:00)] was not greater than the threshold (5.0).",
    ),
    (
        {"EvaluationPeriods": 1, "DatapointsToAlarm": 1}, "0 X 0",
        "Threshold Crossed: 1 out of the last 1 datapoints [1.0 (14/11/23 22:16:00)] was not greater than the threshold (5.0) "
        "(minimum 1 datapoint for ALARM -> OK transition).",
    ),
    (
        {"DatapointsToAlarm": 2}, "0 0 0 X 0",
        "Threshold Crossed: 2 out of the last 3 datapoints [1.0 (14/11/23 22:18:00), 1.0 (14/11/23 22:16:00)] were not greater than the "
        "threshold (5.0) (minimum 2 datapoints for ALARM -> OK transition).",
    ),
    (
        {"TreatMissingData": "breaching", "EvaluationPeriods": 1}, "- - -",
        "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as [Breaching].",
    ),
    (
        {"TreatMissingData": "notBreaching"}, "- - - - -",
        "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were treated as [NonBreaching].",
    ),
    (
        {"TreatMissingData": "breaching"}, "- - - - X",
        "Threshold Crossed: 1 datapoint was received for 3 periods and 2 missing datapoints were treated as [Breaching].",
    ),
    ({"EvaluationPeriods": 1}, "- - -", "Insufficient Data: 1 datapoint was unknown."),
    ({}, "- - - - -", "Insufficient Data: 3 datapoints were unknown."),
]  # fmt: skip


@pytest.mark.parametrize(("more", "drawing", "text"), WORDS)
def test_reasons_are_written_as_aws_writes_them(more, drawing, text):
    one, seen = alarm(**more), points(drawing)
    assert reason(one, judge(one, seen)) == text


def test_many_data_points_are_told_by_the_last_five():
    one, seen = alarm(EvaluationPeriods=8, DatapointsToAlarm=8), points("X X X X X X X X X X")
    text = reason(one, judge(one, seen))
    assert text.startswith("Threshold Crossed: 8 out of the last 8 datapoints were greater than the threshold (5.0). The most recent")
    assert text.count("9.0 (") == 5 and len(text) < 1023
    plain = alarm(EvaluationPeriods=8)
    assert reason(plain, judge(plain, seen)).startswith(
        "Threshold Crossed: 8 datapoints were greater than the threshold (5.0). The most recent"
    )


def test_reason_data():
    one, seen = alarm(Unit="Percent"), points("- 0 0 0 X")
    data = orjson.loads(reason_data(one, judge(one, seen), seen, 1_700_000_400.5))
    assert data == {
        "version": "1.0",
        "queryDate": "2023-11-14T22:20:00.500+0000",
        "startDate": "2023-11-14T22:16:00.000+0000",
        "unit": "Percent",
        "statistic": "Average",
        "period": 60,
        "recentDatapoints": [1.0, 1.0, 9.0],
        "threshold": 5.0,
        "evaluatedDatapoints": [
            {"timestamp": "2023-11-14T22:18:00.000+0000", "sampleCount": 1.0, "value": 9.0},
            {"timestamp": "2023-11-14T22:17:00.000+0000", "sampleCount": 1.0, "value": 1.0},
            {"timestamp": "2023-11-14T22:16:00.000+0000", "sampleCount": 1.0, "value": 1.0},
        ],
    }


def test_reason_data_stays_within_its_limit():
    one = alarm(EvaluationPeriods=1440)
    seen = [Point(60.0 * n, 0.1234567890123, 1.0) for n in range(1442)]
    assert len(reason_data(one, judge(one, seen), seen, 0.0)) <= 4000


@pytest.mark.parametrize(
    ("value", "text"), [(5, "5.0"), (0.0666851903306472, "0.0666851903306472"), (2e7, "2.0E7"), (12345678.5, "1.23456785E7"), (5e-4, "5.0E-4"), (-1e7, "-1.0E7"), (1e20, "1.0E20"), (0, "0.0")]
)  # fmt: skip
def test_numbers_are_written_as_java_does(value, text):
    assert texts.number(value) == text
