"""PutMetricData: what a data point may be."""

from __future__ import annotations

import math

from modelyard.services.cloudwatch import api

OLDEST_SECONDS, NEWEST_SECONDS = 14 * 86_400, 2 * 3_600
MOST_METRICS, MOST_VALUES, MOST_DIMENSIONS = 1_000, 150, 30
LARGEST = 2.0**360


@api.operation
def put_metric_data(call, request):
    if not request.get("MetricData") and not request.get("EntityMetricData"):
        raise api.error.MissingRequiredParameterException("The parameter MetricData is required.")
    if request["Namespace"].startswith("AWS/"):
        raise api.error.InvalidParameterValueException("The value AWS/ for parameter Namespace is invalid: it is reserved.")
    now, data = call.now(), list(request.get("MetricData", []))
    for place, datum in enumerate(data, 1):
        _check(datum, f"MetricData.member.{place}", now)
    for number, entity in enumerate(request.get("EntityMetricData", []), 1):
        for place, datum in enumerate(entity.get("MetricData", []), 1):
            _check(datum, f"EntityMetricData.member.{number}.MetricData.member.{place}", now)
            data.append(datum)
    if len(data) > MOST_METRICS:
        raise _bad(f"The collection MetricData must not have a size greater than {MOST_METRICS}.")
    call.platform.metrics.put(call.account, call.region, request["Namespace"], [_at_its_resolution(datum, now) for datum in data])
    return {}


def _at_its_resolution(datum: dict, now: float) -> dict:
    """Without StorageResolution 1 a metric has data points of whole minutes only, with it of whole seconds."""
    at = datum.get("Timestamp", now)
    return {**datum, "Timestamp": at - at % (1 if datum.get("StorageResolution") == 1 else 60)}


def _check(datum: dict, where: str, now: float) -> None:
    if "Value" not in datum and "StatisticValues" not in datum and not datum.get("Values"):
        raise api.error.MissingRequiredParameterException(
            f"At least one of the parameters {where}.Value or {where}.StatisticValues must be specified."
        )
    given = [name for name in ("Value", "Values", "StatisticValues") if name in datum]
    if len(given) > 1:
        raise api.error.InvalidParameterCombinationException(
            f"The parameters {where}.{given[0]} and {where}.{given[1]} are mutually exclusive and you have specified both."
        )
    for name, most in (("Values", MOST_VALUES), ("Counts", MOST_VALUES), ("Dimensions", MOST_DIMENSIONS)):
        if len(datum.get(name, [])) > most:
            raise _bad(f"The collection {where}.{name} must not have a size greater than {most}.")
    _check_dimensions(datum.get("Dimensions", []), where)
    counts = datum.get("Counts")
    if counts is not None and len(counts) != len(datum.get("Values", [])):
        raise _bad(f"The parameters {where}.Values and {where}.Counts must be of the same size.")
    _check_numbers(datum, where)
    if datum.get("StorageResolution", 60) not in (1, 60):
        raise _bad(f"The value {datum['StorageResolution']} for parameter {where}.StorageResolution is invalid: it must be 1 or 60.")
    at = datum.get("Timestamp", now)
    if not now - OLDEST_SECONDS <= at <= now + NEWEST_SECONDS:
        raise _bad(
            f"The parameter {where}.Timestamp must specify a time within the past two weeks and not more than two hours in the future."
        )


def _check_dimensions(dimensions: list[dict], where: str) -> None:
    names = [dimension["Name"] for dimension in dimensions]
    for place, dimension in enumerate(dimensions, 1):
        for part in ("Name", "Value"):
            text, here = dimension[part], f"{where}.Dimensions.member.{place}.{part}"
            if not text.strip() or not text.isascii() or not text.isprintable() or (part == "Name" and text.startswith(":")):
                raise _bad(
                    f"The value {text} for parameter {here} is invalid: ASCII characters, at least one that is no whitespace, no colon first."
                )
        if names.index(dimension["Name"]) != place - 1:
            raise _bad(f"No Metric may specify the same dimension more than once: {dimension['Name']} in {where}.Dimensions.")


def _check_numbers(datum: dict, where: str) -> None:
    numbers = {"Value": [datum["Value"]] if "Value" in datum else [], "Values": datum.get("Values", []), "Counts": datum.get("Counts", [])}
    numbers |= {f"StatisticValues.{name}": [value] for name, value in datum.get("StatisticValues", {}).items()}
    for name, values in numbers.items():
        for value in values:
            if not math.isfinite(value) or abs(value) > LARGEST:
                text = "NaN" if math.isnan(value) else f"{value:g}".replace("inf", "Infinity")
                raise _bad(f"The value {text} for parameter {where}.{name} is invalid.")
    if any(count < 0 for count in datum.get("Counts", [])):
        raise _bad(f"The values of the parameter {where}.Counts must not be negative.")
    if "StatisticValues" in datum:
        given = datum["StatisticValues"]
        if given["SampleCount"] < 0:
            raise _bad(f"The value {given['SampleCount']:g} for parameter {where}.StatisticValues.SampleCount is invalid.")
        if given["Minimum"] > given["Maximum"]:
            raise _bad(
                f"The parameter {where}.StatisticValues.Minimum must be less than or equal to the parameter {where}.StatisticValues.Maximum."
            )


def _bad(message: str):
    return api.error.InvalidParameterValueException(message)
