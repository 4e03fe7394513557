"""Metric math: the pure language, then GetMetricData through boto3."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from modelyard.services.cloudwatch import statistic
from modelyard.services.cloudwatch.expressions import Context, ExpressionError, Series, parse
from modelyard.services.cloudwatch.expressions.evaluate import evaluate
from modelyard.services.cloudwatch.expressions.functions import FUNCTIONS
from modelyard.services.cloudwatch.expressions.search import Metric, matcher
from tests.services.cloudwatch.conftest import START

TIMES = [0.0, 60.0, 120.0, 180.0]


def series(*values):
    return Series({at: float(v) for at, v in zip(TIMES, values, strict=False) if v is not None}, "x")


def context(**more):
    known = {"m1": series(1, 2, 3, 4), "m2": series(10, None, 30, 0), "empty": series()}
    return Context(known, TIMES, 60.0, list(known), **more)


def value(text):
    made = evaluate(parse(text), context())
    if isinstance(made, list):
        return [[one.points.get(at) for at in TIMES] for one in made]
    return [made.points.get(at) for at in TIMES] if isinstance(made, Series) else made


CASES = [
    ("1 + 2 * 3", 7.0),
    ("(1 + 2) * 3", 9.0),
    ("2 ^ 3 ^ 2", 512.0),
    ("-2 ^ 2", -4.0),
    ("10 - 2 - 3", 5.0),
    ("1 < 2 AND 2 >= 2", 1.0),
    ("1 == 2 || 3 != 3", 0.0),
    ("m1 * 2", [2, 4, 6, 8]),
    ("m1 + m2", [11, None, 33, 4]),
    ("m1 / m2", [0.1, None, 0.1, None]),
    ("-m1", [-1, -2, -3, -4]),
    ("m1 > 2", [0, 0, 1, 1]),
    ("m1 > 1 && m1 < 4", [0, 1, 1, 0]),
    ("SUM(m1)", 10.0),
    ("AVG(m1)", 2.5),
    ("MIN(m1) + MAX(m1)", 5.0),
    ("STDDEV(m1)", 1.118033988749895),
    ("SUM([m1, m2])", [11, 2, 33, 4]),
    ("SUM(METRICS())", [11, 2, 33, 4]),
    ("MAX(METRICS('m'))", [10, 2, 30, 4]),
    ("METRICS('2')", [[10, None, 30, 0]]),
    ("m1 / SUM([m1, m2])", [1 / 11, 1, 3 / 33, 1]),
    ("ABS(0 - m1)", [1, 2, 3, 4]),
    ("CEIL(m1 / 2)", [1, 1, 2, 2]),
    ("FLOOR(m1 / 2)", [0, 1, 1, 2]),
    ("LOG10(m2)", [1, None, pytest.approx(1.4771212547), None]),
    ("DIFF(m1)", [None, 1, 1, 1]),
    ("DIFF(m2)", [None, None, 20, -30]),
    ("DIFF_TIME(m2)", [None, None, 120, 60]),
    ("RATE(m1)", [None, 1 / 60, 1 / 60, 1 / 60]),
    ("RUNNING_SUM(m1)", [1, 3, 6, 10]),
    ("FILL(m2, 0)", [10, 0, 30, 0]),
    ("FILL(m2, REPEAT)", [10, 10, 30, 0]),
    ("FILL(m2, LINEAR)", [10, 20, 30, 0]),
    ("FILL(empty, 7)", [7, 7, 7, 7]),
    ("IF(m1 > 2, m1, 0)", [0, 0, 3, 4]),
    ("IF(m1 > 2, m1)", [None, None, 3, 4]),
    ("IF(m2, m1, 9)", [1, None, 3, 9]),
    ("IF(1, m1, m2)", [1, 2, 3, 4]),
    ("TIME_SERIES(5)", [5, 5, 5, 5]),
    ("MINUTE(m1)", [0, 1, 2, 3]),
    ("HOUR(m1) + DAY(m1) + YEAR(m1)", [1974, 1974, 1974, 1974]),
    ("EPOCH(m1)", TIMES),
    ("PERIOD(m1)", 60.0),
    ("m1 / PERIOD(m1)", [1 / 60, 2 / 60, 3 / 60, 4 / 60]),
    ("METRIC_COUNT(METRICS())", 3.0),
    ("METRIC_COUNT(REMOVE_EMPTY(METRICS()))", 2.0),
    ("DATAPOINT_COUNT(m2)", 3.0),
    ("SORT(METRICS(), MAX, DESC)", [[10, None, 30, 0], [1, 2, 3, 4], [None] * 4]),
    ("SLICE(SORT(METRICS(), SUM, ASC), 0, 1)", [[1, 2, 3, 4]]),
    ("SORT(METRICS(), AVG, DESC, 1)", [[10, None, 30, 0]]),
    ("FIRST(METRICS())", [1, 2, 3, 4]),
]


@pytest.mark.parametrize(("text", "wanted"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_values(text, wanted):
    assert value(text) == wanted


WRONG = [
    ("", "Unexpected 'end of expression'"),
    ("m1 +", "Unexpected 'end of expression'"),
    ("(m1", r"Expected '\)'"),
    ("m1 m2", "Unexpected 'm2' at position 3"),
    ("m1 $ 2", "Unexpected character"),
    ("nothing + 1", "nothing is not the Id"),
    ("NOSUCH(m1)", "Unsupported function NOSUCH"),
    ("ANOMALY_DETECTION_BAND(m1, 2)", "has not built the function ANOMALY_DETECTION_BAND"),
    ("1 / 0", "is not a number"),
    ("METRICS() + METRICS()", "two arrays"),
    ("FILL(m1)", "takes 2 argument"),
    ("FILL(m1, DESC)", "takes a number"),
    ("SORT(m1, MEDIAN, DESC)", "MEDIAN"),
    ("SEARCH('x', 'Sum', 60)", "SEARCH is not supported"),
    ("(" * 200 + "m1" + ")" * 200, "nested too deeply"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_mistakes_are_named(text, message):
    with pytest.raises(ExpressionError, match=message):
        value(text)


def test_search_expressions():
    cpu = Metric("AWS/EC2", "CPUUtilization", (("InstanceId", "i-1"),))
    mine = Metric("My App", "Latency", (("Stage", "prod"), ("Route", "/a")))
    cases = [
        ('{AWS/EC2,InstanceId} MetricName="CPUUtilization"', True, False),
        ('{"My App",Route,Stage} latency', False, True),
        ("{AWS/EC2}", False, False),
        ("cpu OR lat", True, True),
        ("cpu NOT i-1", False, False),
        ('"cpu"', False, False),
        ("Stage=prod", False, True),
        ("Stage=(test OR prod) AND Namespace=my", False, True),
        ("NOT (cpu OR nothing)", False, True),
    ]
    for text, first, second in cases:
        assert (matcher(text)(cpu), matcher(text)(mine)) == (first, second), text
    for text in ("", "(cpu", "a=", "AND ="):
        with pytest.raises(ExpressionError):
            matcher(text)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("p50", 5.5), ("TM(10%:90%)", 5.5), ("TM(2:4)", 3.5), ("tm50", 3.0), ("wm50", pytest.approx(4.25)), ("tc90", 9.0), ("ts90", 45.0), ("TC(:3)", 3.0), ("TS(8:)", 19.0),
        ("PR(:3)", 30.0), ("PR(5:)", 50.0), ("IQM", 5.5), ("TM(20:30)", None),
    ],
)  # fmt: skip
def test_extended_statistics(name, wanted):
    assert statistic.extended(name).of([(float(n), 1.0) for n in range(1, 11)]) == wanted


def test_a_value_that_comes_twice_is_two_of_the_ranks():
    assert statistic.extended("p50").of([(3.0, 1.0), (3.0, 1.0), (8.0, 1.0), (3.0, 1.0)]) == 3.0
    assert statistic.extended("p50").of([(3.0, 1.0), (8.0, 1.0)]) == 5.5


@pytest.mark.parametrize("name", ["p101", "p", "tm", "TM(:)", "TM(10%:5%)", "PR(10%:20%)", "TM(10%:5)", "median", "p-1", "TM(%:5%)"])
def test_what_is_no_statistic(name):
    assert statistic.extended(name) is None


# --- GetMetricData ------------------------------------------------------------------------------------


@pytest.fixture
def cloudwatch(moved):
    for minute in range(3):
        for name, number in (("errors", minute), ("calls", 10.0)):
            moved.put(number, name=name, at=START - 180 + 60 * minute, Dimensions=[{"Name": "Api", "Value": "a"}])
    return moved.client("cloudwatch")


def stat(name, **more):
    metric = {"Namespace": "App", "MetricName": name, "Dimensions": [{"Name": "Api", "Value": "a"}]}
    return {"Metric": metric, "Period": 60, "Stat": "Sum", **more}


def ask(cloudwatch, *queries, **more):
    start, end = (datetime.fromtimestamp(at, UTC) for at in (START - 180, START))
    return cloudwatch.get_metric_data(MetricDataQueries=list(queries), StartTime=start, EndTime=end, ScanBy="TimestampAscending", **more)


def test_expressions_in_get_metric_data(cloudwatch):
    answer = ask(
        cloudwatch,
        {"Id": "rate", "Expression": "errors / calls", "Label": "rate"},
        {"Id": "double", "Expression": "rate * 2"},
        {"Id": "errors", "MetricStat": stat("errors"), "ReturnData": False},
        {"Id": "calls", "MetricStat": stat("calls"), "ReturnData": False},
    )["MetricDataResults"]
    assert [(one["Id"], one["Label"], one["Values"]) for one in answer] == [
        ("rate", "rate", [0.0, 0.1, 0.2]),
        ("double", "double", [0.0, 0.2, 0.4]),
    ]
    assert [at.timestamp() for at in answer[0]["Timestamps"]] == [START - 180, START - 120, START - 60]


def test_search_gives_many_results(cloudwatch):
    answer = ask(cloudwatch, {"Id": "all", "Expression": "SEARCH('{App,Api} a', 'Sum', 60)"})["MetricDataResults"]
    assert {(one["Id"], one["Label"]): sum(one["Values"]) for one in answer} == {("all", "a errors"): 3.0, ("all", "a calls"): 30.0}
    (total,) = ask(cloudwatch, {"Id": "t", "Expression": "SUM(SEARCH('{App,Api} calls', 'Sum', 60))"})["MetricDataResults"]
    assert total["Values"] == [10.0, 10.0, 10.0]


def test_pages_of_data_points(cloudwatch):
    queries = [{"Id": "e", "MetricStat": stat("errors")}, {"Id": "c", "MetricStat": stat("calls")}]
    first = ask(cloudwatch, *queries, MaxDatapoints=4)
    second = ask(cloudwatch, *queries, MaxDatapoints=4, NextToken=first["NextToken"])
    assert [one["Values"] for one in first["MetricDataResults"]] == [[0.0, 1.0, 2.0], [10.0]]
    assert [one["StatusCode"] for one in first["MetricDataResults"]] == ["Complete", "PartialData"]
    assert [one["Values"] for one in second["MetricDataResults"]] == [[10.0, 10.0]] and "NextToken" not in second


@pytest.mark.parametrize(
    ("queries", "text"),
    [
        ([{"Id": "a", "Expression": "b"}, {"Id": "b", "Expression": "a"}], "in a circle"),
        ([{"Id": "a", "Expression": "1 + 1"}], "not a time series"),
        ([{"Id": "a", "Expression": "zz"}], "Unknown identifier"),
        ([{"Id": "A", "Expression": "TIME_SERIES(1)"}], "lowercase letter"),
        ([{"Id": "a"}], "MetricDataQueries.member.1.MetricStat is required"),
        ([{"Id": "a", "MetricStat": stat("calls", Stat="Median")}], "not supported"),
        ([{"Id": "a", "MetricStat": stat("calls", Period=7)}], "Period must be"),
        ([{"Id": "a", "MetricStat": stat("calls")}] * 2, "not unique"),
    ],
)
def test_what_bad_queries_get(cloudwatch, queries, text):
    with pytest.raises(ClientError, match=text) as wrong:
        ask(cloudwatch, *queries)
    assert wrong.value.response["Error"]["Code"] == "ValidationError"


def test_only_high_resolution_metrics_have_points_within_a_minute(moved):
    for second in (1, 11, 12):
        moved.put(1.0, name="fine", at=START + second, StorageResolution=1)
        moved.put(1.0, name="coarse", at=START + second)
    moved.clock.advance(60)
    for name, wanted in (("fine", [1.0, 2.0]), ("coarse", [3.0])):
        metric = {"Metric": {"Namespace": "App", "MetricName": name}, "Period": 10, "Stat": "Sum"}
        start, end = (datetime.fromtimestamp(at, UTC) for at in (START, START + 60))
        answer = moved.client("cloudwatch").get_metric_data(
            MetricDataQueries=[{"Id": "m", "MetricStat": metric}], StartTime=start, EndTime=end, ScanBy="TimestampAscending"
        )
        assert answer["MetricDataResults"][0]["Values"] == wanted, name


@pytest.mark.parametrize("name", ["SUM", "AVG", "MIN", "MAX", "STDDEV", "DATAPOINT_COUNT"])
def test_many_points_are_folded_as_few_are(name):
    import numpy as np

    from modelyard.services.cloudwatch.points import Points, folded

    chance = np.random.default_rng(3)
    many = [Points(np.sort(chance.choice(200, 90, replace=False)) * 60.0, chance.normal(size=90)) for _ in range(7)]
    plain = FUNCTIONS[name](Context({}, []), [Series(dict(one.table)) for one in many])
    assert dict(folded(name, many)) == pytest.approx(dict(sorted(plain.points.items())))
