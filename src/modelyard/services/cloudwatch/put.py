"""PutMetricData: what a data point may be."""

from __future__ import annotations

import math
from collections.abc import Iterator

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.services.cloudwatch import api

OLDEST_SECONDS, NEWEST_SECONDS = 14 * 86_400, 2 * 3_600
MOST_METRICS, MOST_VALUES, MOST_DIMENSIONS = 1_000, 150, 30
LARGEST, MOST_PROBLEMS = 2.0**360, 20
LARGEST_REQUEST = 1 << 20
"""Bytes of a request as JSON, before a client compresses it."""
ENTITY_KEYS = {"Type", "ResourceType", "Identifier", "Name", "Environment", "AwsAccountId"}


@api.operation
def put_metric_data(call, request):
    if not request.get("MetricData") and not request.get("EntityMetricData"):
        raise api.error.MissingRequiredParameterException("The parameter MetricData is required.")
    if len(orjson.dumps(request)) > LARGEST_REQUEST:
        raise ApiError(
            "RequestEntityTooLarge", f"Request size exceeds the limit of {LARGEST_REQUEST} bytes: put fewer metrics at once.", 413
        )
    namespace = request["Namespace"]
    if namespace.startswith("AWS/"):
        raise _bad("The value AWS/ for parameter Namespace is invalid. Namespaces that begin with AWS/ are those of AWS services.")
    if namespace.startswith(":") or not namespace.isprintable() or not namespace.isascii() or not namespace.strip():
        raise _bad(f"The value {namespace} for parameter Namespace is invalid.")
    now, data = call.now(), [(f"MetricData.member.{place}", datum) for place, datum in enumerate(request.get("MetricData", []), 1)]
    for number, entity in enumerate(request.get("EntityMetricData", []), 1):
        if request.get("StrictEntityValidation"):
            _check_entity(entity.get("Entity"), f"EntityMetricData.member.{number}.Entity")
        for place, datum in enumerate(entity.get("MetricData", []), 1):
            data.append((f"EntityMetricData.member.{number}.MetricData.member.{place}", datum))
    if len(data) > MOST_METRICS:
        raise _bad(f"The collection MetricData must not have a size greater than {MOST_METRICS}.")
    if problems := [problem for where, datum in data for problem in _problems(datum, where, now)]:
        raise _bad("\n".join(problems[:MOST_PROBLEMS]))
    call.platform.metrics.put(call.account, call.region, namespace, [_at_its_resolution(datum, now) for _, datum in data])
    return {}


def _at_its_resolution(datum: dict, now: float) -> dict:
    """Without StorageResolution 1 a metric has data points of whole minutes only, with it of whole seconds."""
    at = datum.get("Timestamp", now)
    return {**datum, "Timestamp": at - at % (1 if datum.get("StorageResolution") == 1 else 60)}


def _problems(datum: dict, where: str, now: float) -> Iterator[str]:
    if "Value" not in datum and "StatisticValues" not in datum and not datum.get("Values"):
        raise api.error.MissingRequiredParameterException(
            f"At least one of the parameters {where}.Value or {where}.StatisticValues must be specified."
        )
    for other in ("Values", "StatisticValues"):  # Values beside StatisticValues AWS takes
        if "Value" in datum and other in datum:
            raise api.error.InvalidParameterCombinationException(
                f"The parameters {where}.Value and {where}.{other} are mutually exclusive and you have specified both."
            )
    for name, most in (("Values", MOST_VALUES), ("Counts", MOST_VALUES), ("Dimensions", MOST_DIMENSIONS)):
        if len(datum.get(name, [])) > most:
            yield f"The collection {where}.{name} must not have a size greater than {most}."
    name = datum["MetricName"]
    if not name.strip() or not name.isascii() or not name.isprintable():
        yield f"The value {name} for parameter {where}.MetricName is invalid."
    yield from _dimensions(datum.get("Dimensions", []), where)
    counts = datum.get("Counts")
    if counts is not None and len(counts) != len(datum.get("Values", [])):
        yield f"The parameters {where}.Values and {where}.Counts must be of the same size."
    yield from _numbers(datum, where)
    if datum.get("StorageResolution", 60) not in (1, 60):
        yield f"The parameter {where}.StorageResolution must be a value in the set [ 1, 60 ]."
    at = datum.get("Timestamp", now)
    if at < now - OLDEST_SECONDS:
        yield f"The parameter {where}.Timestamp must specify a time within the past two weeks."
    elif at > now + NEWEST_SECONDS:
        yield f"The parameter {where}.Timestamp must specify a time no more than two hours in the future."


def _dimensions(dimensions: list[dict], where: str) -> Iterator[str]:
    names = [dimension["Name"] for dimension in dimensions]
    for place, dimension in enumerate(dimensions, 1):
        for part in ("Name", "Value"):
            text, here = dimension[part], f"{where}.Dimensions.member.{place}.{part}"
            if not text.strip() or not text.isascii() or not text.isprintable() or (part == "Name" and text.startswith(":")):
                yield f"The value {text} for parameter {here} is invalid: ASCII characters, at least one that is no whitespace, no colon first."
        if names.index(dimension["Name"]) != place - 1:
            yield f"No Metric may specify the same dimension more than once: {dimension['Name']} in {where}.Dimensions."


def _numbers(datum: dict, where: str) -> Iterator[str]:
    numbers = {"Value": [datum["Value"]] if "Value" in datum else [], "Values": datum.get("Values", []), "Counts": datum.get("Counts", [])}
    numbers |= {f"StatisticValues.{name}": [value] for name, value in datum.get("StatisticValues", {}).items()}
    for name, values in numbers.items():
        for value in values:
            if not math.isfinite(value) or abs(value) > LARGEST:
                text = "NaN" if math.isnan(value) else f"{value:g}".replace("inf", "Infinity")
                yield f"The value {text} for parameter {where}.{name} is invalid."
    if any(count < 0 for count in datum.get("Counts", [])):
        yield f"The values of the parameter {where}.Counts must not be negative."
    if "StatisticValues" in datum:
        given = datum["StatisticValues"]
        if given["SampleCount"] < 0:
            yield f"The value {given['SampleCount']:g} for parameter {where}.StatisticValues.SampleCount is invalid."
        if given["Minimum"] > given["Maximum"]:
            yield f"The parameter {where}.StatisticValues.Minimum must be less than or equal to the parameter {where}.StatisticValues.Maximum."


def _check_entity(entity: dict | None, where: str) -> None:
    """StrictEntityValidation: data of an entity that is not valid are refused; without it they are kept, as those of no entity."""
    keys = (entity or {}).get("KeyAttributes", {})
    wanted = {"Service": {"Name", "Environment"}, "Resource": {"ResourceType", "Identifier"}}.get(keys.get("Type", ""), {"Type"})
    unknown = sorted(set(keys) - ENTITY_KEYS)
    if missing := sorted(wanted - set(keys)):
        raise _bad(f"The parameter {where}.KeyAttributes is invalid: it lacks {', '.join(missing)}.")
    if unknown:
        raise _bad(f"The parameter {where}.KeyAttributes is invalid: it must not have {', '.join(unknown)}.")


def _bad(message: str):
    return api.error.InvalidParameterValueException(message)
