"""Metrics: list, statistics, queries."""

from __future__ import annotations

import math
import re

from modelyard.kernel.errors import ApiError
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.cloudwatch import api, labels, periods, statistic
from modelyard.services.cloudwatch.expressions import ExpressionError, Series, parse
from modelyard.services.cloudwatch.expressions.evaluate import check_functions
from modelyard.services.cloudwatch.expressions.parse import names
from modelyard.services.cloudwatch.query import Queries

LIST_PAGE, DATA_PAGE, STATISTICS_LIMIT = 500, 100_800, 1_440
RECENT_SECONDS, LISTED_SECONDS = 3 * 3600, 14 * 86_400
MOST_QUERIES = 500
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")


@api.operation
def list_metrics(call, request):
    since = call.now() - (RECENT_SECONDS if request.get("RecentlyActive") == "PT3H" else LISTED_SECONDS)
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
    start = periods.rounded(start, period, call.now())
    if start >= end:
        raise api.error.InvalidParameterValueException("The parameter StartTime must be less than the parameter EndTime.")
    if (end - start) / period > STATISTICS_LIMIT:
        raise api.error.InvalidParameterCombinationException(
            f"You have requested up to {math.ceil((end - start) / period):,} datapoints, which exceeds the limit of {STATISTICS_LIMIT:,}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    metrics, points = call.platform.metrics, []
    metric = (call.account, call.region, request["Namespace"], request["MetricName"], request.get("Dimensions", []))
    units = [request["Unit"]] if "Unit" in request else [unit for one in metrics.ids(*metric) for unit in metrics.units(one, start, end)]
    for unit in units:  # values of different units are never added up
        for bucket in metrics.buckets(*metric, start, end, period, unit, anchor=start, exact=bool(extended)):
            point = {"Timestamp": bucket.start, "Unit": unit} | {name: bucket.statistic(name) for name in plain}
            known = {name: bucket.statistic(name) for name in extended}
            if extended:
                point["ExtendedStatistics"] = {name: value for name, value in known.items() if value is not None}
            points.append(point)
    return {"Label": request["MetricName"], "Datapoints": points}


@api.operation
def get_metric_data(call, request):
    start, end = request["StartTime"], request["EndTime"]
    if start >= end:
        raise _bad("The parameter StartTime must be less than the parameter EndTime.")
    queries = request["MetricDataQueries"]
    check_queries(queries)
    place = decode_token(request.get("NextToken"), api.error.InvalidNextToken, 0) or 0
    zone = request.get("LabelOptions", {}).get("Timezone", "+0000")
    if not labels.is_zone(zone):
        raise _bad(f"The value {zone} for parameter LabelOptions.Timezone must be + or - and four digits, as in +0130.")
    most = request.get("MaxDatapoints", DATA_PAGE)
    if not 1 <= most <= DATA_PAGE:
        raise _bad(f"The parameter MaxDatapoints must be between 1 and {DATA_PAGE}.")
    asked = Queries(call.platform.metrics, call.account, call.region, queries, start, end, now=call.now(), zone=zone)
    results = []
    for query in queries:
        if not query.get("ReturnData", True):
            continue
        try:
            results += [_result(query, series, request) for series in asked.series(query["Id"])]
        except ExpressionError as problem:
            raise _bad(f"Error in expression '{query['Id']}': {problem}") from None
    return _page(results, place, most) | {"Messages": asked.messages}


# --- helpers -------------------------------------------------------------------------------------


def check_queries(queries: list[dict]) -> None:
    """What GetMetricData and PutMetricAlarm both ask of MetricDataQueries; raises ValidationError."""
    if not queries or len(queries) > MOST_QUERIES:
        raise _bad(f"The parameter MetricDataQueries must have between 1 and {MOST_QUERIES} members.")
    if len({query["Id"] for query in queries}) != len(queries):
        raise _bad("The values for parameter id in MetricDataQueries are not unique.")
    ids = {query["Id"] for query in queries}
    for place, query in enumerate(queries, 1):
        where = f"MetricDataQueries.member.{place}"
        if not _ID.fullmatch(query["Id"]):
            raise _bad(
                f"The value {query['Id']} for parameter {where}.Id must begin with a lowercase letter and have only letters, numbers and underscores."
            )
        if ("MetricStat" in query) == ("Expression" in query):
            raise _bad(f"Exactly one of the parameters {where}.MetricStat and {where}.Expression must be specified.")
        if "MetricStat" in query:
            stat, period = query["MetricStat"]["Stat"], query["MetricStat"]["Period"]
            if not statistic.is_known(stat):
                raise _bad(f"The value {stat} for parameter {where}.MetricStat.Stat is not supported.")
            if (problem := periods.problem(period)) is not None:
                raise _bad(problem)
            continue
        try:
            tree = parse(query["Expression"])
            check_functions(tree)
            unknown = sorted(set(names(tree)) - ids)
        except ExpressionError as problem:
            raise _bad(f"Error in expression '{query['Id']}': {problem}") from None
        if unknown:
            raise _bad(f"Error in expression '{query['Id']}': Unknown identifier(s): {', '.join(unknown)}")


def _result(query: dict, series: Series, request: dict) -> dict:
    pairs = sorted(series.points.items(), reverse=request.get("ScanBy", "TimestampDescending") == "TimestampDescending")
    pairs = [(at, value) for at, value in pairs if at < request["EndTime"]]
    return {
        "Id": query["Id"],
        "Label": series.label,
        "Timestamps": [at for at, _ in pairs],
        "Values": [value for _, value in pairs],
        "StatusCode": "Complete",
    }


def _page(results: list[dict], place: int, most: int) -> dict:
    """Data points are numbered over all results; a page has `most` of them from `place` on."""
    page, passed, end = [], 0, place + most
    for result in results:
        count = len(result["Values"])
        first, last = max(0, place - passed), min(count, end - passed)
        if first < last or (count == 0 and place == 0):
            cut = {"Timestamps": result["Timestamps"][first:last], "Values": result["Values"][first:last]}
            page.append({**result, **cut, "StatusCode": "Complete" if last >= count else "PartialData"})
        passed += count
    return {"MetricDataResults": page} | ({"NextToken": encode_token(end)} if passed > end else {})


def _bad(message: str):
    # GetMetricData's model lists InvalidNextToken only; AWS answers the query-era code.
    return ApiError("ValidationError", message, 400)


def _check_period(period: int) -> None:
    if (problem := periods.problem(period)) is not None:
        raise api.error.InvalidParameterValueException(problem)


def _check_statistic(name: str) -> None:
    if statistic.extended(name) is None:
        raise api.error.InvalidParameterValueException(f"The value {name} for parameter ExtendedStatistics is not supported.")


def _has(dimensions: list[dict], wanted: dict) -> bool:
    return any(d["Name"] == wanted["Name"] and wanted.get("Value") in (None, d["Value"]) for d in dimensions)
