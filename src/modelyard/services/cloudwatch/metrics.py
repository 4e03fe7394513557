"""Metrics: list, statistics, queries."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.cloudwatch import api, labels, periods, statistic
from modelyard.services.cloudwatch.expressions import ExpressionError, insights, parse
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
    if request.get("OwningAccount", call.account) != call.account:
        found = []  # no account is linked to another one
    answer = {"Metrics": [metric for _, metric in found[:LIST_PAGE]]}
    if request.get("IncludeLinkedAccounts"):
        answer["OwningAccounts"] = [call.account] * len(answer["Metrics"])
    if len(found) > LIST_PAGE:
        answer["NextToken"] = encode_token(found[LIST_PAGE - 1][0])
    return answer


@api.operation
def get_metric_statistics(call, request):
    plain, extended = request.get("Statistics", []), request.get("ExtendedStatistics", [])
    if not plain and not extended:
        raise api.error.InvalidParameterCombinationException("Must specify either Statistics or ExtendedStatistics")
    for name in extended:
        _check_statistic(name)
    start, end, period = request["StartTime"], request["EndTime"], request["Period"]
    _check_period(period)
    if int(start) >= int(end):
        raise api.error.InvalidParameterValueException("The parameter StartTime must be less than the parameter EndTime.")
    if (end - start) / period > STATISTICS_LIMIT:
        raise api.error.InvalidParameterCombinationException(
            f"You have requested up to {math.ceil((end - start) / period)} datapoints, which exceeds the limit of {STATISTICS_LIMIT}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )
    start = periods.rounded(start, period, call.now())
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
    if int(start) == int(end):
        raise _bad("The parameter StartTime must not equal parameter EndTime.")
    if start > end:
        raise _bad("The parameter EndTime must be greater than StartTime.")
    queries = request["MetricDataQueries"]
    check_queries(queries)
    for number, query in enumerate(queries, 1):
        if query.get("AccountId", call.account) != call.account:
            raise _bad(
                f"The value {query['AccountId']} for parameter MetricDataQueries.member.{number}.AccountId is invalid: it is not linked to this account."
            )
    place = decode_token(request.get("NextToken"), api.error.InvalidNextToken, [0, 0, 0]) or [0, 0, 0]
    zone = request.get("LabelOptions", {}).get("Timezone", "+0000")
    if not labels.is_zone(zone):
        raise _bad(f"The value {zone} for parameter LabelOptions.Timezone must be + or - and four digits, as in +0130.")
    most = request.get("MaxDatapoints", DATA_PAGE)
    if not 1 <= most <= DATA_PAGE:
        raise _bad(f"The parameter MaxDatapoints must be between 1 and {DATA_PAGE}.")
    asked = Queries(call.platform.metrics, call.account, call.region, queries, start, end, now=call.now(), zone=zone)
    results, token = _page(asked, [query for query in queries if query.get("ReturnData", True)], request, place, most)
    return {"MetricDataResults": results, "Messages": asked.messages} | ({"NextToken": token} if token else {})


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
        if "MetricStat" in query and "Expression" in query:
            raise _bad(f"The parameters {where}.MetricStat and {where}.Expression are mutually exclusive and you have specified both.")
        if "MetricStat" not in query and "Expression" not in query:
            raise _bad(f"The parameter {where}.MetricStat is required.\n")
        if "MetricStat" in query:
            stat, period = query["MetricStat"]["Stat"], query["MetricStat"]["Period"]
            if not statistic.is_known(stat):
                raise _bad(f"The value {stat} for parameter {where}.MetricStat.Stat is not supported.")
            if (problem := periods.problem(period)) is not None:
                raise _bad(problem)
            continue
        try:
            if insights.is_insights(query["Expression"]):
                insights.parse(query["Expression"])
                continue
            tree = parse(query["Expression"])
            check_functions(tree)
            unknown = sorted(set(names(tree)) - ids)
        except ExpressionError as problem:
            raise _bad(f"Error in expression '{query['Id']}': {problem}") from None
        if unknown:
            raise _bad(f"Error in expression '{query['Id']}': Unknown identifier(s): {', '.join(unknown)}")


def _page(asked: Queries, queries: list[dict], request: dict, place: list[int], most: int) -> tuple[list[dict], str | None]:
    """Results from `place` on, (query, time series of it, data point of that), up to `most` data points; and where the next page begins.
    Queries of pages before are not asked again."""
    results, left = [], most
    first_query, first_series, first_point = place
    for number, query in enumerate(queries[first_query:], first_query):
        if left == 0:
            return results, encode_token([number, 0, 0])
        try:
            found = asked.series(query["Id"])
        except ExpressionError as problem:
            raise _bad(f"Error in expression '{query['Id']}': {problem}") from None
        for which in range(first_series, len(found)):
            at, values = _points(found[which].points, request)
            end = min(len(at), first_point + left)
            if left == 0 and len(at):
                return results, encode_token([number, which, 0])
            whole = end == len(at)
            results.append({
                "Id": query["Id"], "Label": found[which].label, "Timestamps": at[first_point:end], "Values": values[first_point:end],
                "StatusCode": "Complete" if whole else "PartialData",
            } | _said(found[which].units))  # fmt: skip
            if not whole:
                return results, encode_token([number, which, end])
            left, first_point = left - (end - first_point), 0
        first_series = 0
    return results, None


def _said(units: Sequence[str]) -> dict[str, Any]:
    return {"Messages": [{"Code": "MultipleUnits", "Value": f"Multiple units returned: '[{', '.join(units)}]'"}]} if units else {}


def _points(points: Mapping[float, float], request: dict) -> tuple[Any, Any]:
    """Times and values in the order that was asked for: arrays as they lie in memory, or lists."""
    down, end = request.get("ScanBy", "TimestampDescending") == "TimestampDescending", request["EndTime"]
    if hasattr(points, "array"):
        at, values = points.at, points.array
        if len(at) and at[-1] >= end:
            at, values = at[at < end], values[at < end]
        return (at[::-1], values[::-1]) if down else (at, values)
    pairs = sorted((pair for pair in points.items() if pair[0] < end), reverse=down)
    return [at for at, _ in pairs], [value for _, value in pairs]


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
