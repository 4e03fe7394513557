"""GetMetricData, GetMetricStatistics, ListMetrics and PutMetricData: labels, periods, pages, limits; on a clock of the test's own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from tests.services.cloudwatch.conftest import START

DAY = 86_400
HOST = [{"Name": "Host", "Value": "a"}]


def at(seconds):
    return datetime.fromtimestamp(seconds, UTC)


def query(**more):
    return {
        "Id": "q",
        "MetricStat": {"Metric": {"Namespace": "App", "MetricName": "m", "Dimensions": HOST}, "Period": 60, "Stat": "Average"},
        **more,
    }


def ask(yard, *queries, start=START - 300, end=START, **more):
    return yard.client("cloudwatch").get_metric_data(
        MetricDataQueries=list(queries), StartTime=at(start), EndTime=at(end), ScanBy="TimestampAscending", **more
    )


@pytest.fixture
def filled(moved):
    for minute, value in enumerate([4.0, 1.0, 9.0, 2.0]):
        moved.put(value, at=START - 300 + 60 * minute, Dimensions=HOST)
    return moved


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ("plain", "plain"),
        ("max ${MAX} min ${MIN}", "max 9 min 1"),
        ("${SUM}/${DATAPOINT_COUNT}=${AVG}", "16/4=4"),
        ("${FIRST} ${LAST} ${FIRST_LAST_RANGE} ${MIN_MAX_RANGE}", "4 2 -2 8"),
        ("${MAX_TIME}", at(START - 180).strftime("%Y-%m-%d %H:%M:%S")),
        ("${MAX_TIME_RELATIVE} ${FIRST_LAST_TIME_RANGE} ${MIN_MAX_TIME_RANGE}", "3m 3m 1m"),
        ("${LABEL} of ${PROP('Dim.Host')}${PROP('Dim.None')}", "m of a"),
        ("${PROP('MetricName')} ${PROP('Namespace')} ${PROP('Stat')} ${PROP('Period')}", "m App Average 60"),
        ("${PROP('AccountId')} ${PROP('Region')}", "123456789012 us-east-1"),
        ("${NOTHING} ${PROP('Nothing')}", "${NOTHING} ${PROP('Nothing')}"),
    ],
)
def test_dynamic_labels(filled, label, wanted):
    (result,) = ask(filled, query(Label=label))["MetricDataResults"]
    assert result["Label"] == wanted


def test_dynamic_labels_of_searches_expressions_and_other_time_zones(filled):
    filled.put(7.0, at=START - 300, Dimensions=[{"Name": "Host", "Value": "b"}])
    search = {"Id": "s", "Expression": "SEARCH('{App,Host} m', 'Sum', 60)"}
    labels = [one["Label"] for one in ask(filled, {**search, "Label": "${PROP('Dim.Host')}=${MAX}"})["MetricDataResults"]]
    assert labels == ["a=9", "b=7"]
    assert [one["Label"] for one in ask(filled, {**search, "Label": "All"})["MetricDataResults"]] == ["All a m", "All b m"]
    (total,) = ask(filled, {"Id": "e", "Expression": "q * 2", "Label": "up to ${MAX}"}, query(ReturnData=False))["MetricDataResults"]
    assert total["Label"] == "up to 18"
    (there,) = ask(filled, query(Label="${FIRST_TIME}"), LabelOptions={"Timezone": "+0130"})["MetricDataResults"]
    assert there["Label"] == at(START - 300 + 5400).strftime("%Y-%m-%d %H:%M:%S")
    with pytest.raises(ClientError, match="Timezone"):
        ask(filled, query(), LabelOptions={"Timezone": "Berlin"})


def test_empty_series_have_labels_too(moved):
    (result,) = ask(moved, query(Label="max ${MAX}"))["MetricDataResults"]
    assert (result["Label"], result["Values"]) == ("max --", [])


def test_periods_begin_at_the_start_time_rounded_to_a_minute(filled):
    """AWS's own example of GetMetricStatistics asks from 23:18 on and gets data points at 18 past."""
    found = ask(filled, {**query(), "MetricStat": {**query()["MetricStat"], "Period": DAY, "Stat": "Sum"}}, start=START - DAY + 31)
    assert [one["Values"] for one in found["MetricDataResults"]] == [[16.0]]
    (point,) = filled.client("cloudwatch").get_metric_statistics(
        Namespace="App", MetricName="m", Dimensions=HOST, StartTime=at(START - 290), EndTime=at(START), Period=3600, Statistics=["Sum"]
    )["Datapoints"]
    assert (point["Timestamp"], point["Sum"]) == (at(START - 300), 16.0)


def test_the_limits_of_get_metric_statistics(filled):
    client = filled.client("cloudwatch")

    def statistics(**more):
        given = {
            "Namespace": "App",
            "MetricName": "m",
            "StartTime": at(START - DAY),
            "EndTime": at(START),
            "Period": 60,
            "Statistics": ["Sum"],
        }
        return client.get_metric_statistics(**{**given, **more})

    assert statistics()["Datapoints"] == []
    with pytest.raises(ClientError, match=r"You have requested up to 1500 datapoints, which exceeds the limit of 1440\.") as wrong:
        statistics(StartTime=at(START - 90_000))
    assert wrong.value.response["Error"]["Code"] == "InvalidParameterCombination"
    with pytest.raises(ClientError, match="Period"):
        statistics(Period=90)
    with pytest.raises(ClientError, match="StartTime must be less"):
        statistics(StartTime=at(START + 60))


def test_list_metrics_knows_two_weeks_and_three_hours(moved):
    moved.put(1.0, name="old")
    moved.clock.advance(13 * DAY)
    moved.put(1.0, name="new")
    client = moved.client("cloudwatch")

    def listed(**more):
        return [metric["MetricName"] for metric in client.list_metrics(Namespace="App", **more)["Metrics"]]

    assert (listed(), listed(RecentlyActive="PT3H")) == (["old", "new"], ["new"])
    moved.clock.advance(2 * DAY)
    assert (listed(), listed(RecentlyActive="PT3H")) == (["new"], [])


def test_list_metrics_in_pages(moved):
    client = moved.client("cloudwatch")
    client.put_metric_data(Namespace="App", MetricData=[{"MetricName": f"m{n}", "Value": 1.0} for n in range(600)])
    first = client.list_metrics()
    second = client.list_metrics(NextToken=first["NextToken"])
    assert (len(first["Metrics"]), len(second["Metrics"])) == (500, 100) and "NextToken" not in second


GOOD = {"MetricName": "m", "Value": 1.0}
REFUSED = [
    ([GOOD] * 1001, "The collection MetricData must not have a size greater than 1000."),
    ([{"MetricName": "m", "Values": [1.0] * 151}], "MetricData.member.1.Values must not have a size greater than 150."),
    ([{"MetricName": "m", "Values": [1.0, 2.0], "Counts": [1.0]}], "must be of the same size"),
    ([GOOD, {**GOOD, "Value": float("nan")}], "The value NaN for parameter MetricData.member.2.Value is invalid."),
    ([{**GOOD, "Value": float("-inf")}], "The value -Infinity for parameter MetricData.member.1.Value is invalid."),
    ([{**GOOD, "Value": 2.0**361}], "for parameter MetricData.member.1.Value is invalid."),
    ([{**GOOD, "Values": [1.0]}], "mutually exclusive"),
    ([{**GOOD, "Timestamp": at(START - 15 * DAY)}], "past two weeks"),
    ([{**GOOD, "Timestamp": at(START + 3 * 3600)}], "two hours in the future"),
    ([{**GOOD, "StorageResolution": 5}], "StorageResolution"),
    ([{**GOOD, "Dimensions": HOST * 2}], "same dimension more than once"),
    ([{**GOOD, "Dimensions": [{"Name": ":x", "Value": "y"}]}], "is invalid"),
    ([{"MetricName": "m", "StatisticValues": {"SampleCount": 2, "Sum": 3, "Minimum": 2, "Maximum": 1}}], "must be less than or equal"),
    ([{"MetricName": "m"}], "At least one of the parameters"),
    (
        [GOOD, *[{**GOOD, "Timestamp": at(START - 15 * DAY)}] * 2],
        "The parameter MetricData.member.2.Timestamp must specify a time within the past two weeks.\n"
        "The parameter MetricData.member.3.Timestamp must specify a time within the past two weeks.",
    ),
]


@pytest.mark.parametrize(("data", "text"), REFUSED, ids=[text[:40] for _, text in REFUSED])
def test_data_points_that_are_refused(moved, data, text):
    client = moved.client("cloudwatch")
    with pytest.raises(ClientError, match=text.replace(".", r"\.")):
        client.put_metric_data(Namespace="App", MetricData=data)
    assert client.list_metrics()["Metrics"] == []


def test_search_looks_at_one_property_with_words_of_its_own(filled):
    for host in ("b", "c"):
        filled.put(1.0, at=START - 60, Dimensions=[{"Name": "Host", "Value": host}])

    def found(text):
        return [one["Label"] for one in ask(filled, {"Id": "s", "Expression": f"SEARCH('{text}', 'Sum', 60)"})["MetricDataResults"]]

    assert found("{App,Host} Host=(a OR c)") == ["a m", "c m"]
    assert found('{App,Host} MetricName="m" NOT Host=(a OR c)') == ["b m"]
    assert found("{App,Host} Host=(NOT a)") == ["b m", "c m"]
    assert found('{App,Host} MetricName="M2"') == []


@pytest.mark.parametrize(
    ("expression", "wanted"), [("SORT(S, MAX, DESC, 1)", ["a m"]), ("SLICE(S, 1)", ["b m"]), ("SORT(S, SUM, ASC)", ["b m", "a m"])]
)
def test_arrays_are_sorted_and_cut(filled, expression, wanted):
    filled.put(7.0, at=START - 300, Dimensions=[{"Name": "Host", "Value": "b"}])
    text = expression.replace("S,", "SEARCH('{App,Host} m', 'Sum', 60),")
    assert [one["Label"] for one in ask(filled, {"Id": "s", "Expression": text})["MetricDataResults"]] == wanted


def test_metric_data_with_an_entity(moved):
    client = moved.client("cloudwatch")
    entity = {"KeyAttributes": {"Type": "Service", "Name": "shop", "Environment": "test"}}
    client.put_metric_data(Namespace="App", EntityMetricData=[{"Entity": entity, "MetricData": [GOOD]}])
    assert [metric["MetricName"] for metric in client.list_metrics()["Metrics"]] == ["m"]
    with pytest.raises(ClientError, match=r"EntityMetricData\.member\.1\.MetricData\.member\.1\.Value is invalid"):
        client.put_metric_data(Namespace="App", EntityMetricData=[{"MetricData": [{**GOOD, "Value": float("inf")}]}])


def test_strict_entities(moved):
    client = moved.client("cloudwatch")
    entity = {"KeyAttributes": {"Type": "Service", "Name": "shop"}}
    data = [{"Entity": entity, "MetricData": [GOOD]}]
    client.put_metric_data(Namespace="App", EntityMetricData=data)
    with pytest.raises(ClientError, match="lacks Environment"):
        client.put_metric_data(Namespace="App", EntityMetricData=data, StrictEntityValidation=True)
    entity["KeyAttributes"]["Environment"] = "test"
    client.put_metric_data(Namespace="App", EntityMetricData=data, StrictEntityValidation=True)


def test_values_of_different_units_are_different_data_points(moved):
    for unit, value in (("Seconds", 1.0), ("Milliseconds", 500.0)):
        moved.put(value, at=START - 60, Unit=unit)
    asked = {"Namespace": "App", "MetricName": "m", "StartTime": at(START - 60), "EndTime": at(START), "Period": 60, "Statistics": ["Sum"]}
    client = moved.client("cloudwatch")
    found = client.get_metric_statistics(**asked)["Datapoints"]
    assert sorted((one["Unit"], one["Sum"]) for one in found) == [("Milliseconds", 500.0), ("Seconds", 1.0)]
    assert [one["Sum"] for one in client.get_metric_statistics(**asked, Unit="Seconds")["Datapoints"]] == [1.0]
    assert client.get_metric_statistics(**asked, Unit="Bytes")["Datapoints"] == []
    for seconds in (2 * 3600, 7 * 3600):
        moved.clock.advance(seconds)
        moved.platform.metrics.sweep()
        assert len(client.get_metric_statistics(**asked)["Datapoints"]) == 2


def test_pages_go_on_where_they_stopped(moved):
    for name in ("a", "b", "c"):
        for minute in range(5):
            moved.put(float(minute), name=name, at=START - 300 + 60 * minute)
    queries = [
        {"Id": name, "MetricStat": {"Metric": {"Namespace": "App", "MetricName": name}, "Period": 60, "Stat": "Sum"}}
        for name in ("a", "b", "c")
    ]
    queries.insert(1, {"Id": "none", "MetricStat": {"Metric": {"Namespace": "App", "MetricName": "none"}, "Period": 60, "Stat": "Sum"}})
    pages, token = [], {}
    while True:
        page = ask(moved, *queries, MaxDatapoints=4, **token)
        pages.append([(one["Id"], one["Values"], one["StatusCode"]) for one in page["MetricDataResults"]])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert pages == [
        [("a", [0.0, 1.0, 2.0, 3.0], "PartialData")],
        [("a", [4.0], "Complete"), ("none", [], "Complete"), ("b", [0.0, 1.0, 2.0], "PartialData")],
        [("b", [3.0, 4.0], "Complete"), ("c", [0.0, 1.0], "PartialData")],
        [("c", [2.0, 3.0, 4.0], "Complete")],
    ]
    with pytest.raises(ClientError, match="invalid"):
        ask(moved, *queries, NextToken="none of ours")


def test_no_account_is_linked_to_another(filled):
    client = filled.client("cloudwatch")
    listed = client.list_metrics(Namespace="App", IncludeLinkedAccounts=True)
    assert listed["OwningAccounts"] == ["123456789012"] and len(listed["Metrics"]) == 1
    assert client.list_metrics(IncludeLinkedAccounts=True, OwningAccount="111111111111")["Metrics"] == []
    assert ask(filled, query(AccountId="123456789012"))["MetricDataResults"][0]["Values"]
    with pytest.raises(ClientError, match="not linked"):
        ask(filled, query(AccountId="111111111111"))


def test_values_of_several_units_are_never_added_up(moved):
    client = moved.client("cloudwatch")
    now = moved.clock.now()
    for unit, value in (("Seconds", 60.0), ("Milliseconds", 60_000.0), ("Milliseconds", 1.0)):
        client.put_metric_data(Namespace="App", MetricData=[{"MetricName": "m", "Value": value, "Unit": unit, "Timestamp": now}])
    client.put_metric_data(Namespace="App", MetricData=[{"MetricName": "m", "Value": 7.0, "Unit": "Count", "Timestamp": now - 300}])

    def ask(stat, start, **more):
        metric = {"Metric": {"Namespace": "App", "MetricName": "m"}, "Period": 60, "Stat": stat, **more}
        (one,) = client.get_metric_data(
            MetricDataQueries=[{"Id": "a", "MetricStat": metric}], StartTime=at(start), EndTime=at(now + 60)
        )["MetricDataResults"]  # fmt: skip
        return one["Values"], [(message["Code"], message["Value"]) for message in one.get("Messages", [])]

    for _ in range(2):  # as rows, then as packs
        assert ask("Sum", now) == ([60_001.0], [("MultipleUnits", "Multiple units returned: '[Milliseconds, Seconds]'")])
        assert ask("p100", now) == ([60_000.0], [("MultipleUnits", "Multiple units returned: '[Milliseconds, Seconds]'")])
        assert ask("Sum", now - 300) == ([7.0], [("MultipleUnits", "Multiple units returned: '[Count, Milliseconds, Seconds]'")])
        assert ask("Sum", now, Unit="Seconds") == ([60.0], [])
        moved.clock.jump_to(moved.clock.now() + 3_600)
        moved.platform.metrics.sweep()
        assert moved.platform.metrics.db.read("SELECT count(*) FROM metric_points")[0][0] == 0


def test_labels_tell_series_of_one_metric_apart(moved):
    moved.put(1.0)
    client, now = moved.client("cloudwatch"), moved.clock.now()

    def named(*asked):
        queries = [
            {"Id": f"q{n}", "MetricStat": {"Metric": {"Namespace": "App", "MetricName": "m"}, "Stat": stat, "Period": period}, **more}
            for n, (stat, period, more) in enumerate(asked)
        ]
        answer = client.get_metric_data(MetricDataQueries=queries, StartTime=at(now), EndTime=at(now + 60))
        return [one["Label"] for one in answer["MetricDataResults"]]

    assert named(("Sum", 60, {}), ("Minimum", 30, {})) == ["m Sum 60", "m Minimum 30"]
    assert named(("Sum", 60, {}), ("Minimum", 60, {})) == ["m Sum", "m Minimum"]
    assert named(("Sum", 60, {}), ("Sum", 30, {})) == ["m 60", "m 30"]
    assert named(("Sum", 60, {}), ("Minimum", 60, {"Label": "low"})) == ["m", "low"]
    assert named(("Sum", 60, {}), ("Minimum", 60, {"ReturnData": False})) == ["m"]


def test_a_put_of_over_a_megabyte_is_refused(moved):
    client = moved.client("cloudwatch")
    dimensions = [{"Name": f"d{n}", "Value": "v" * 1_000} for n in range(30)]
    data = [{"MetricName": f"m{n}", "Value": 1.0, "Dimensions": dimensions} for n in range(35)]
    with pytest.raises(ClientError, match="1048576 bytes") as wrong:  # boto3 sends it as some 10 KB of gzip
        client.put_metric_data(Namespace="App", MetricData=data)
    assert wrong.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    client.put_metric_data(Namespace="App", MetricData=data[:30])
    assert len(client.list_metrics(Namespace="App")["Metrics"]) == 30


def test_a_statistic_set_may_come_with_values(moved):
    """As AWS takes it; the set counts."""
    sets = {"SampleCount": 10, "Sum": 55, "Minimum": 1, "Maximum": 10}
    datum = {"MetricName": "m", "Values": [1.0, 10.0], "StatisticValues": sets, "Timestamp": moved.clock.now()}
    moved.client("cloudwatch").put_metric_data(Namespace="App", MetricData=[datum])
    metric = {"Metric": {"Namespace": "App", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    (one,) = ask(moved, {"Id": "a", "MetricStat": metric}, start=moved.clock.now(), end=moved.clock.now() + 60)["MetricDataResults"]
    assert one["Values"] == [55.0]


def test_1440_data_points_from_any_second_on(moved):
    """The start is rounded down after the limit was looked at."""
    moved.clock.advance(31.5)
    asked = {"Namespace": "App", "MetricName": "m", "Period": 60, "Statistics": ["Sum"]}
    end = moved.clock.now()
    assert moved.client("cloudwatch").get_metric_statistics(**asked, StartTime=at(end - DAY), EndTime=at(end))["Datapoints"] == []
    for start in (end, end - 0.2):
        with pytest.raises(ClientError, match="StartTime must be less than the parameter EndTime"):
            moved.client("cloudwatch").get_metric_statistics(**asked, StartTime=at(start), EndTime=at(end))


def test_search_by_account(filled):
    found = [
        len(
            ask(filled, {"Id": "a", "Expression": f"""SEARCH(':aws.AccountId="{account}" MetricName="m"', 'Sum', 60)"""})[
                "MetricDataResults"
            ]
        )
        for account in ("123456789012", "LOCAL", "111122223333")
    ]
    assert found == [1, 1, 0]
