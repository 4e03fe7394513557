"""Dashboards and pictures of widgets, through a real boto3 client."""

from __future__ import annotations

import io
import json

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from modelyard.services.cloudwatch.widget.chart import scale
from modelyard.services.cloudwatch.widget.model import Axis, WidgetError, read
from tests.services.cloudwatch.conftest import START, metric_alarm

METRICS = [["App", "m", "Host", "a"]]
BODY = {"widgets": [{"type": "metric", "x": 0, "y": 0, "width": 6, "height": 6, "properties": {"metrics": METRICS, "region": "us-east-1"}}]}


def widget(**properties):
    return json.dumps({"widgets": [{"type": "metric", "properties": {"metrics": METRICS, "region": "us-east-1", **properties}}]})


def test_a_dashboard_comes_back_as_it_was_put(moved):
    client, text = moved.client("cloudwatch"), json.dumps(BODY, indent=3)
    assert client.put_dashboard(DashboardName="shop-1", DashboardBody=text)["DashboardValidationMessages"] == []
    found = client.get_dashboard(DashboardName="shop-1")
    assert (found["DashboardBody"], found["DashboardArn"]) == (text, "arn:aws:cloudwatch::123456789012:dashboard/shop-1")
    moved.clock.advance(60)
    client.put_dashboard(DashboardName="shop-1", DashboardBody=json.dumps(BODY))
    client.put_dashboard(DashboardName="other", DashboardBody=json.dumps(BODY))
    (entry,) = client.list_dashboards(DashboardNamePrefix="shop")["DashboardEntries"]
    assert (entry["DashboardName"], entry["Size"], entry["LastModified"].timestamp()) == ("shop-1", len(json.dumps(BODY)), START + 60)
    assert [one["DashboardName"] for one in client.list_dashboards()["DashboardEntries"]] == ["other", "shop-1"]


def test_dashboards_are_deleted_all_or_none(moved):
    client = moved.client("cloudwatch")
    client.put_dashboard(DashboardName="a", DashboardBody=json.dumps(BODY))
    for call in (lambda: client.delete_dashboards(DashboardNames=["a", "b"]), lambda: client.get_dashboard(DashboardName="b")):
        with pytest.raises(ClientError) as wrong:
            call()
        assert wrong.value.response["Error"]["Code"] == "ResourceNotFound"
    assert len(client.list_dashboards()["DashboardEntries"]) == 1
    client.delete_dashboards(DashboardNames=["a"])
    assert client.list_dashboards()["DashboardEntries"] == []


@pytest.mark.parametrize(
    ("name", "body", "text"),
    [
        ("a b", json.dumps(BODY), "invalid characters"),
        ("a", "{", "must be a valid JSON object"),
        ("a", "[]", "must be a valid JSON object"),
        ("a", "{}", "Should have required property 'widgets'"),
        ("a", '{"widgets": [{"properties": {}}]}', "there are 1 validation errors"),
        ("a", widget(metrics=[["App"]]), "Should NOT have fewer than 2 items"),
        ("a", widget(view="heap"), "allowed values"),
        ("a", '{"widgets": [{"type": "text", "width": 25, "properties": {"markdown": "x"}}]}', "Should be <= 24"),
    ],
)
def test_bad_dashboards(moved, name, body, text):
    client = moved.client("cloudwatch")
    with pytest.raises(ClientError, match=text) as wrong:
        client.put_dashboard(DashboardName=name, DashboardBody=body)
    assert wrong.value.response["Error"]["Code"] == ("InvalidParameterInput" if name == "a" else "InvalidParameterValue")
    assert client.list_dashboards()["DashboardEntries"] == []


def test_warnings_come_with_the_stored_dashboard(moved):
    client = moved.client("cloudwatch")
    body = json.dumps({"widgets": [{"type": "metric", "properties": {"metrics": METRICS}}]})
    (warning,) = client.put_dashboard(DashboardName="a", DashboardBody=body)["DashboardValidationMessages"]
    assert warning == {"DataPath": "/widgets/0/properties", "Message": "Should have required property 'region'"}
    assert client.get_dashboard(DashboardName="a")["DashboardBody"] == body


# --- GetMetricWidgetImage ------------------------------------------------------------------------------


def drawn(yard, **given):
    answer = yard.client("cloudwatch").get_metric_widget_image(MetricWidget=json.dumps({"metrics": METRICS, "period": 60, **given}))
    return Image.open(io.BytesIO(answer["MetricWidgetImage"])).convert("RGB")


def counted(image, color):
    """Pixels of about this colour."""
    wanted = tuple(int(color[n : n + 2], 16) for n in (1, 3, 5))
    return sum(n for n, pixel in image.getcolors(1 << 24) if all(abs(a - b) < 12 for a, b in zip(pixel, wanted, strict=True)))


@pytest.fixture
def filled(moved):
    dimensions = [{"Name": "Host", "Value": "a"}]
    data = [
        {"MetricName": "m", "Value": float(minute), "Timestamp": START - 3600 + 60 * minute, "Dimensions": dimensions}
        for minute in range(60)
    ]
    moved.client("cloudwatch").put_metric_data(Namespace="App", MetricData=data)
    return moved


def test_a_line_is_drawn_where_its_values_are(filled):
    image = drawn(
        filled, start="-PT1H", width=500, height=300, metrics=[[*METRICS[0], {"color": "#ff0000"}]], legend={"position": "hidden"}
    )
    assert (image.format, image.size) == (None, (500, 300))
    red = [(x, y) for x in range(500) for y in range(300) if image.getpixel((x, y)) == (255, 0, 0) or image.getpixel((x, y))[1] < 60 < image.getpixel((x, y))[0] - 100]  # fmt: skip
    first, last = min(red), max(red)
    assert first[0] < 60 and last[0] > 430 and first[1] > 240 and last[1] < 40  # from the lower left to the upper right
    assert counted(drawn(filled, start="-PT1H", metrics=[[*METRICS[0], {"color": "#ff0000", "visible": False}]]), "#ff0000") == 0


@pytest.mark.parametrize("view", ["timeSeries", "singleValue", "bar", "pie", "gauge"])
def test_every_view_shows_data_and_survives_none(filled, view):
    full = drawn(filled, view=view, title="Title", metrics=[[*METRICS[0], {"color": "#00aa00"}]], stacked=True, sparkline=True)
    assert full.size == (600, 400) and counted(full, "#00aa00") > 20
    assert drawn(filled, view=view, metrics=[["App", "none"]], width=50, height=40).size == (50, 40)


def test_annotations_titles_and_axes_change_the_picture(filled):
    plain = drawn(filled)
    note = {
        "horizontal": [{"value": 30, "label": "Limit", "color": "#123456", "fill": "above"}],
        "vertical": [{"value": "2023-11-14T21:30:00Z"}],
    }
    for more in (
        {"annotations": note},
        {"title": "T"},
        {"yAxis": {"left": {"min": -100, "max": 500}}},
        {"timezone": "+0530"},
        {"stat": "p10"},
    ):
        other = drawn(filled, **more)
        assert other.tobytes() != plain.tobytes() or "stat" in more, more
    assert counted(drawn(filled, annotations=note), "#123456") > 50


def test_expressions_and_searches_are_drawn(filled):
    rows = [
        [*METRICS[0], {"id": "m1", "visible": False}],
        [{"expression": "m1 * 2", "id": "e1", "color": "#aa00aa", "label": "twice ${MAX}"}],
    ]
    assert counted(drawn(filled, metrics=rows), "#aa00aa") > 50
    assert counted(drawn(filled, metrics=[[{"expression": "SEARCH('{App,Host} m', 'Sum', 60)", "color": "#aa00aa"}]]), "#aa00aa") > 50


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("{", "not valid JSON"), ("[]", "must be an object"), ({"metrics": []}, "at least one"), ({"width": 2001}, "width must be"),
        ({"view": "donut"}, "view must be"), ({"start": "yesterday"}, "start must be a time"), ({"start": "P0D", "end": "-PT1H"}, "start must be before"),
        ({"metrics": [[".", "m"]]}, "nothing above"), ({"metrics": [["App"]]}, "pairs of dimension"), ({"metrics": [[{"expression": "zz"}]]}, "Unknown identifier"),
        ({"timezone": "UTC"}, "timezone"), ({"start": "-P999999999M"}, "after 1970"), ({"yAxis": {"left": {"max": 1e308, "min": -1e308}}}, "must be a number"), ({"metrics": [["App", "m", {"stat": "Median"}]]}, "not supported"), ({"annotations": {"horizontal": [{"value": "x"}]}}, "must be a number"),
    ],
)  # fmt: skip
def test_bad_widgets(moved, given, text):
    body = given if isinstance(given, str) else json.dumps({"metrics": METRICS, **given})
    with pytest.raises(ClientError, match=text) as wrong:
        moved.client("cloudwatch").get_metric_widget_image(MetricWidget=body)
    assert wrong.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="png"):
        moved.client("cloudwatch").get_metric_widget_image(MetricWidget=json.dumps({"metrics": METRICS}), OutputFormat="gif")


def test_an_alarm_is_a_line_in_the_colour_of_its_state(filled):
    client = filled.client("cloudwatch")
    client.put_metric_alarm(**metric_alarm(Threshold=30.0, Dimensions=[{"Name": "Host", "Value": "a"}]))
    (arn,) = [one["AlarmArn"] for one in client.describe_alarms()["MetricAlarms"]]
    assert counted(drawn(filled, annotations={"alarms": [arn]}), "#687078") > 50
    client.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="by hand")
    assert counted(drawn(filled, metrics=[], annotations={"alarms": [arn]}), "#d13212") > 50
    rows = read(json.dumps({"annotations": {"alarms": [arn]}}), START).rows
    assert rows == []
    with pytest.raises(ClientError, match="there is no metric alarm"):
        drawn(filled, annotations={"alarms": [arn + "x"]})


def test_rows_are_called_by_what_tells_them_apart():
    def labels(*rows):
        return [row.query.get("Label") for row in read(json.dumps({"metrics": rows}), START).rows]

    assert labels(["A", "x", "D", "1", "E", "9"], ["...", "2", "E", "9"]) == ["1", "2"]
    assert labels(["A", "x", "D", "1"], ["...", "2"], [".", "y"]) == ["x 1", "x 2", None]
    assert labels(["A", "x"], ["A", "x", {"stat": "Sum"}]) == ["Average", "Sum"]
    assert labels(["A", "x", {"label": "mine"}], ["A", "x"]) == ["mine", None]


def test_a_gauge_turns_with_its_value(filled):
    axis = {"left": {"min": 0, "max": 200}}
    half = counted(drawn(filled, view="gauge", metrics=[[*METRICS[0], {"color": "#aa00aa"}]], yAxis=axis), "#aa00aa")
    full = counted(
        drawn(filled, view="gauge", metrics=[[*METRICS[0], {"color": "#aa00aa"}]], yAxis={"left": {"min": 0, "max": 50}}), "#aa00aa"
    )
    assert full > 1.5 * half > 100


def test_shorthands_of_rows():
    rows = [["A", "x", "D", "1"], [".", "y", ".", "."], ["...", "2", {"stat": "Sum"}], [".", "x", {"period": 60}]]
    found = [row.query["MetricStat"] for row in read(json.dumps({"metrics": rows}), START).rows]
    assert [(one["Metric"]["MetricName"], [d["Value"] for d in one["Metric"]["Dimensions"]]) for one in found] == [
        ("x", ["1"]), ("y", ["1"]), ("y", ["2"]), ("x", []),
    ]  # fmt: skip
    assert [(one["Stat"], one["Period"]) for one in found] == [("Average", 300), ("Average", 300), ("Sum", 300), ("Average", 60)]
    with pytest.raises(WidgetError):
        read(json.dumps({"metrics": [["...", "1"]]}), START)


@pytest.mark.parametrize(
    ("values", "axis", "wanted"),
    [([0, 97], Axis(), (0, 100)), ([], Axis(), (0, 1)), ([5, 5], Axis(), None), ([-3, 8], Axis(), None), ([90, 97], Axis(0, 50), (0, 50)), ([1e-9, 2e-9], Axis(), None), ([1e300], Axis(), None)],
)  # fmt: skip
def test_scales_hold_their_values(values, axis, wanted):
    made = scale(values, axis)
    assert made.low < made.high and 2 <= len(made.ticks) <= 12
    assert wanted is None or (made.low, made.high) == wanted
    assert axis.high is not None or all(made.low <= value <= made.high for value in values)
