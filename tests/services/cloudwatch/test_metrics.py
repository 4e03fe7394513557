"""CloudWatch metrics through a real boto3 client, JSON and (as older clients) query."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

NOW = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)
DIMENSIONS = [{"Name": "Host", "Value": "a"}]


@pytest.fixture
def cloudwatch(client):
    return client("cloudwatch")


def put(cloudwatch, values, **more):
    cloudwatch.put_metric_data(
        Namespace="App",
        MetricData=[{"MetricName": "m", "Dimensions": DIMENSIONS, "Timestamp": NOW, "Value": v, "Unit": "Count", **more} for v in values],
    )


def statistics(cloudwatch, **more):
    return cloudwatch.get_metric_statistics(
        Namespace="App",
        MetricName="m",
        Dimensions=DIMENSIONS,
        StartTime=NOW - timedelta(minutes=1),
        EndTime=NOW + timedelta(minutes=5),
        Period=60,
        **more,
    )["Datapoints"]


def test_statistics_of_values_and_sets(cloudwatch):
    put(cloudwatch, [1.0, 2.0, 9.0])
    (point,) = statistics(cloudwatch, Statistics=["Sum", "Average", "Minimum", "Maximum", "SampleCount"])
    assert [point[k] for k in ("Sum", "Average", "Minimum", "Maximum", "SampleCount")] == [12.0, 4.0, 1.0, 9.0, 3.0]
    assert point["Timestamp"] == NOW and point["Unit"] == "Count"
    cloudwatch.put_metric_data(
        Namespace="App",
        MetricData=[{"MetricName": "m", "Dimensions": DIMENSIONS, "Timestamp": NOW, "Unit": "Count",
                     "StatisticValues": {"SampleCount": 2, "Sum": 30, "Minimum": 10, "Maximum": 20}}],
    )  # fmt: skip
    (point,) = statistics(cloudwatch, Statistics=["Sum", "Maximum"])
    assert (point["Sum"], point["Maximum"]) == (42.0, 20.0)


@pytest.mark.parametrize(("name", "value"), [("p50", 5.5), ("p90", 9.1), ("p0", 1.0), ("p100", 10.0)])
def test_percentiles(cloudwatch, name, value):
    cloudwatch.put_metric_data(
        Namespace="App",
        MetricData=[
            {"MetricName": "m", "Dimensions": DIMENSIONS, "Timestamp": NOW, "Values": list(map(float, range(1, 11))), "Counts": [1.0] * 10}
        ],
    )
    (point,) = statistics(cloudwatch, ExtendedStatistics=[name])
    assert point["ExtendedStatistics"][name] == pytest.approx(value)


def test_get_metric_data_sorts_and_labels(cloudwatch):
    for minute in range(3):
        cloudwatch.put_metric_data(
            Namespace="App",
            MetricData=[
                {"MetricName": "m", "Dimensions": DIMENSIONS, "Timestamp": NOW + timedelta(minutes=minute), "Value": float(minute)}
            ],
        )
    metric = {"Namespace": "App", "MetricName": "m", "Dimensions": DIMENSIONS}
    query = {"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}}
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[query], StartTime=NOW, EndTime=NOW + timedelta(minutes=9), ScanBy="TimestampAscending"
    )
    (result,) = answer["MetricDataResults"]
    assert result["Values"] == [0.0, 1.0, 2.0] and result["Label"] == "m" and result["StatusCode"] == "Complete"
    assert result["Timestamps"][0] == NOW


def test_list_metrics_by_dimension(cloudwatch):
    put(cloudwatch, [1.0])
    (metric,) = cloudwatch.list_metrics(Namespace="App", Dimensions=[{"Name": "Host"}])["Metrics"]
    assert metric == {"Namespace": "App", "MetricName": "m", "Dimensions": DIMENSIONS}
    assert cloudwatch.list_metrics(Dimensions=[{"Name": "Host", "Value": "b"}])["Metrics"] == []


def test_a_metric_is_found_with_its_exact_dimensions_only(cloudwatch):
    put(cloudwatch, [1.0])
    answer = cloudwatch.get_metric_statistics(
        Namespace="App", MetricName="m", StartTime=NOW, EndTime=NOW + timedelta(minutes=2), Period=60, Statistics=["Sum"]
    )
    assert answer["Datapoints"] == []


def test_bad_input_gets_the_error_of_aws(cloudwatch):
    def fails(call):
        with pytest.raises(Exception) as raised:
            call()
        return raised.value.response["Error"]["Code"]

    good = {"MetricName": "m", "Value": 1.0}
    bad = {
        "InvalidParameterValue": lambda: cloudwatch.put_metric_data(Namespace="App", MetricData=[{**good, "Value": float("nan")}]),
        "MissingParameter": lambda: cloudwatch.put_metric_data(Namespace="App", MetricData=[{"MetricName": "m"}]),
        "InvalidParameterCombination": lambda: cloudwatch.get_metric_statistics(
            Namespace="App", MetricName="m", StartTime=NOW - timedelta(days=9), EndTime=NOW, Period=60, Statistics=["Sum"]
        ),
    }
    assert {fails(call) for call in bad.values()} == set(bad)
    old = time.time() - 20 * 86_400
    assert fails(lambda: cloudwatch.put_metric_data(Namespace="App", MetricData=[{**good, "Timestamp": old}])) == "InvalidParameterValue"


def test_two_followers_of_one_file_count_each_value_once(tmp_path):
    from modelyard.kernel.clock import ManualClock
    from modelyard.kernel.database import SQLite
    from modelyard.services.cloudwatch.metric_store import MetricStore

    store = MetricStore(SQLite(tmp_path / "metrics.db", durable=False), ManualClock(600.0))
    data = [{"MetricName": "loss", "Value": float(n), "Timestamp": 60.0 * n} for n in range(6)]
    places = [10 * (n + 1) for n in range(6)]
    store.put("1", "r", "N", data[:2], source=("run", places[:2]))
    store.put("1", "r", "N", data[:4], source=("run", places[:4]))  # another one, from the beginning
    store.put("1", "r", "N", data[1:2], source=("run", places[1:2]))
    store.put("1", "r", "N", data[3:], source=("run", places[3:]))
    buckets = store.buckets("1", "r", "N", "loss", [], 0.0, 3600.0, 3600)
    assert [(b.statistic("SampleCount"), b.statistic("Sum")) for b in buckets] == [(6.0, 15.0)]
