"""Metrics Insights: SELECT queries in GetMetricData."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from modelyard.services.cloudwatch.expressions import ExpressionError, insights
from tests.services.cloudwatch.conftest import START, metric_alarm

HOSTS = {"a": ("x", 1.0), "b": ("x", 3.0), "c": ("y", 8.0)}


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    from tests.services.cloudwatch.conftest import Yard

    yard = Yard(tmp_path_factory.mktemp("insights"))
    for host, (zone, value) in HOSTS.items():
        for minute in range(2):
            dimensions = [{"Name": "Host", "Value": host}, {"Name": "my.zone", "Value": zone}]
            yard.put(value + minute, at=START - 120 + 60 * minute, Dimensions=dimensions)
    yard.put(100.0, at=START - 120)

    def ask(text, **more):
        query = {"Id": "q", "Expression": text, "Period": 60, **more}
        found = yard.client("cloudwatch").get_metric_data(
            MetricDataQueries=[query],
            StartTime=datetime.fromtimestamp(START - 120, UTC),
            EndTime=datetime.fromtimestamp(START, UTC),
            ScanBy="TimestampAscending",
        )
        return {one["Label"]: one["Values"] for one in found["MetricDataResults"]}

    ask.yard = yard
    yield ask
    yard.close()


SCHEMA = 'SCHEMA(App, Host, "my.zone")'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SELECT AVG(m) FROM App", {"q": [28.0, 5.0]}),
        (f"SELECT AVG(m) FROM {SCHEMA}", {"q": [4.0, 5.0]}),
        ("select sum(m) from schema(App)", {"q": [100.0]}),
        (f"SELECT COUNT(m) FROM {SCHEMA} WHERE Host != 'a'", {"q": [2.0, 2.0]}),
        (f"SELECT MAX(m) FROM {SCHEMA} WHERE \"my.zone\" = 'x' AND Host != 'b'", {"q": [1.0, 2.0]}),
        (f'SELECT SUM(m) FROM {SCHEMA} GROUP BY "my.zone"', {"x": [4.0, 6.0], "y": [8.0, 9.0]}),
        ("SELECT MIN(m) FROM App GROUP BY Host", {"Other": [100.0], "a": [1.0, 2.0], "b": [3.0, 4.0], "c": [8.0, 9.0]}),
        (f"SELECT MAX(m) FROM {SCHEMA} GROUP BY Host ORDER BY MAX() DESC LIMIT 2", {"c": [8.0, 9.0], "b": [3.0, 4.0]}),
        (f"SELECT MAX(m) FROM {SCHEMA} GROUP BY Host ORDER BY AVG() ASC LIMIT 1", {"a": [1.0, 2.0]}),
        ("SELECT AVG(m) FROM App WHERE AWS.AccountId = '000000000000'", {}),
        ('SELECT AVG("m") FROM "App" WHERE Host = \'a\' GROUP BY Host, "my.zone"', {"a x": [1.0, 2.0]}),
        ("SELECT AVG(nothing) FROM App", {}),
    ],
)
def test_queries(asked, text, wanted):
    found = asked(text)
    assert found == wanted and list(found) == list(wanted)


def test_labels_of_groups(asked):
    found = asked(f"SELECT MAX(m) FROM {SCHEMA} GROUP BY Host LIMIT 1", Label="${PROP('Dim.Host')} up to ${MAX}")
    assert found == {"a up to 2": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SELECT MEDIAN(m) FROM App", "expected one of AVG, COUNT, MAX, MIN, SUM but found 'MEDIAN'"),
        ("SELECT AVG(m)", "expected FROM but found 'the end of the query'"),
        ("SELECT AVG(m) FROM App WHERE Host = a", "expected a value in single quotes but found 'a'"),
        ("SELECT AVG(m) FROM App WHERE Host > '1'", "unexpected \"> '1'\" at position 33"),
        ("SELECT AVG(m) FROM App LIMIT 501", "expected a number from 1 to 500"),
        ("SELECT AVG(m) FROM App GROUP Host", "expected BY"),
        ("SELECT AVG(m) FROM App, Other", "expected the end of the query but found ','"),
        ("SELECT AVG(m) FROM App WHERE (Host = 'a'", r"expected \) but found"),
    ],
)
def test_what_is_wrong_is_told(asked, text, problem):
    with pytest.raises(ExpressionError, match=problem):
        insights.parse(text)
    with pytest.raises(ClientError, match=problem) as wrong:
        asked(text)
    assert wrong.value.response["Error"]["Code"] == "ValidationError"


def test_alarms_on_such_queries_are_refused_by_name(asked):
    query = {"Id": "q", "Expression": "SELECT AVG(m) FROM App", "Period": 60}
    single = dict.fromkeys(("Namespace", "MetricName", "Statistic", "Period"))
    with pytest.raises(ClientError, match="Metrics Insights"):
        asked.yard.client("cloudwatch").put_metric_alarm(**metric_alarm(**single, Metrics=[query]))
