"""Metrics: put, list, statistics."""

from __future__ import annotations

import math
import re

from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.cloudwatch import api

LIST_PAGE, DATA_PAGE, STATISTICS_LIMIT = 500, 100_800, 1_440
RECENT_SECONDS = 3 * 3600
OLDEST_SECONDS, NEWEST_SECONDS = 14 * 86_400, 2 * 3_600
PLAIN = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_PERCENTILE = re.compile(r"p(\d{1,2}(\.\d{1,10})?|100)")


@api.operation
def put_metric_data(call, request):
    if not request.get("MetricData") and not request.get("EntityMetricData"):
        raise api.error.MissingRequiredParameterException("The parameter MetricData is required.")
    if request["Namespace"].startswith("AWS/"):
        raise api.error.InvalidParameterValueException("The value AWS/ for parameter Namespace is invalid: it is reserved.")
    data = list(request.get("MetricData", []))
    for entity in request.get("EntityMetricData", []):
        data += entity.get("MetricData", [])
    now = call.now()
    for place, datum in enumerate(data, 1):
        _check_datum(datum, f"MetricData.member.{place}", now)
    call.platform.metrics.put(call.account, call.region, request["Namespace"], data)
    return {}


@api.operation
def list_metrics(call, request):
    since = call.now() - RECENT_SECONDS if request.get("RecentlyActive") == "PT3H" else 0.0
    wanted = request.get("Dimensions", [])
    after = decode_token(request.get("NextToken"), api.error.InvalidParameterValueException, 0) or 0
    found = [
        (number, {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions})
        for number, namespace, name, dimensions in call.platform.metrics.series(
            call.account, call.region, namespace=request.get("Namespace"), name=request.get("MetricName"), since=since
        )
        if number > after and all(_has(dimensions, one) for one in wanted)
    ]
    answer = {"Metrics": [metric for _, metric in found[:LIST_PAGE]]}
    if len(found) > LIST_PAGE:
        answer["NextToken"] = encode_token(found[LIST_PAGE - 1][0])
    return answer


@api.operation
def get_metric_statistics(call, request):
    plain, extended = request.get("Statistics", []), request.get("ExtendedStatistics", [])
    if not plain and not extended:
        raise api.error.MissingRequiredParameterException("Must specify either Statistics or ExtendedStatistics")
    for name in extended:
        _check_statistic(name)
    start, end, period = request["StartTime"], request["EndTime"], request["Period"]
    _check_period(period)
    if start >= end:
        raise api.error.InvalidParameterValueException("The parameter StartTime must be less than the parameter EndTime.")
    if (end - start) / period > STATISTICS_LIMIT:
        raise api.error.InvalidParameterCombinationException(
            f"You have requested up to {math.ceil((end - start) / period):,} datapoints, which exceeds the limit of {STATISTICS_LIMIT:,}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    points = []
    for bucket in call.platform.metrics.buckets(
        call.account, call.region, request["Namespace"], request["MetricName"], request.get("Dimensions", []),
        start - start % period, end, period, request.get("Unit"),
    ):  # fmt: skip
        point = {"Timestamp": bucket.start, "Unit": bucket.unit} | {name: bucket.statistic(name) for name in plain}
        known = {name: bucket.statistic(name) for name in extended}
        if extended:
            point["ExtendedStatistics"] = {name: value for name, value in known.items() if value is not None}
        points.append(point)
    return {"Label": request["MetricName"], "Datapoints": points}


@api.operation
def get_metric_data(call, request):
    if request["StartTime"] >= request["EndTime"]:
        raise _bad("The parameter StartTime must be less than the parameter EndTime.")
    queries = request["MetricDataQueries"]
    if len({query["Id"] for query in queries}) != len(queries):
        raise _bad("The values for parameter id in MetricDataQueries are not unique.")
    results = []
    for query in queries:
        if "MetricStat" not in query:
            raise _bad(f"Metric math is not built yet: query {query['Id']} has the Expression {query.get('Expression')!r}.")
        if query.get("ReturnData", True):
            results.append(_result(call, query, request))
    return {"MetricDataResults": results, "Messages": []}


# --- helpers -------------------------------------------------------------------------------------


def _result(call, query: dict, request: dict) -> dict:
    wanted = query["MetricStat"]
    metric, period, stat = wanted["Metric"], wanted["Period"], wanted["Stat"]
    if stat not in PLAIN:
        _check_statistic(stat)
    _check_period(period)
    start, end = request["StartTime"], request["EndTime"]
    buckets = call.platform.metrics.buckets(
        call.account, call.region, metric.get("Namespace", ""), metric.get("MetricName", ""), metric.get("Dimensions", []),
        start - start % period, end, period, wanted.get("Unit"),
    )  # fmt: skip
    pairs = [(b.start, b.statistic(stat)) for b in buckets]
    pairs = [(at, value) for at, value in pairs if value is not None][-request.get("MaxDatapoints", DATA_PAGE) :]
    if request.get("ScanBy", "TimestampDescending") == "TimestampDescending":
        pairs.reverse()
    return {
        "Id": query["Id"],
        "Label": query.get("Label", metric.get("MetricName", "")),
        "Timestamps": [at for at, _ in pairs],
        "Values": [value for _, value in pairs],
        "StatusCode": "Complete",
    }


def _bad(message: str):
    from modelyard.kernel.errors import ApiError

    # GetMetricData's model lists InvalidNextToken only; AWS answers the query-era code.
    return ApiError("ValidationError", message, 400)


def _check_datum(datum: dict, where: str, now: float) -> None:
    if "Value" not in datum and "StatisticValues" not in datum and "Values" not in datum:
        raise api.error.MissingRequiredParameterException(
            f"At least one of the parameters {where}.Value or {where}.StatisticValues must be specified."
        )
    if "Value" in datum and ("Values" in datum or "StatisticValues" in datum):
        raise api.error.InvalidParameterCombinationException(
            f"The parameters {where}.Value and {where}.Values are mutually exclusive and you have specified both."
        )
    counts = datum.get("Counts")
    if counts is not None and len(counts) != len(datum.get("Values", [])):
        raise api.error.InvalidParameterValueException(f"The parameters {where}.Values and {where}.Counts must be of the same size.")
    numbers = [datum["Value"]] if "Value" in datum else list(datum.get("Values", [])) + list(datum.get("StatisticValues", {}).values())
    if any(math.isnan(n) or math.isinf(n) for n in numbers):
        raise api.error.InvalidParameterValueException(f"The value NaN or Infinity for parameter {where}.Value is invalid.")
    at = datum.get("Timestamp", now)
    if not now - OLDEST_SECONDS <= at <= now + NEWEST_SECONDS:
        raise api.error.InvalidParameterValueException(
            f"The parameter {where}.Timestamp must specify a time within the past two weeks and not more than two hours in the future."
        )


def _check_period(period: int) -> None:
    if period not in (1, 5, 10, 30) and (period <= 0 or period % 60):
        raise api.error.InvalidParameterValueException(f"The parameter Period must be 1, 5, 10, 30 or a multiple of 60; it is {period}.")


def _check_statistic(name: str) -> None:
    if not _PERCENTILE.fullmatch(name):
        raise api.error.InvalidParameterValueException(f"The value {name} for parameter ExtendedStatistics is not supported.")


def _has(dimensions: list[dict], wanted: dict) -> bool:
    return any(d["Name"] == wanted["Name"] and wanted.get("Value") in (None, d["Value"]) for d in dimensions)
