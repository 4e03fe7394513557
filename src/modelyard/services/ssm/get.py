"""GetParameter, GetParameters, GetParametersByPath, GetParameterHistory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.ssm import api
from modelyard.services.ssm.filters import check_filters, check_path, fits_filters, rooted
from modelyard.services.ssm.parameter import (
    by_prefix,
    labels_of,
    newest,
    not_found,
    selected,
    the_parameter,
    value_of,
    version_of,
    versions,
)
from modelyard.services.ssm.public import public_under
from modelyard.services.ssm.secret_references import is_reference, referenced


@api.operation
def get_parameter(call, request):
    if is_reference(request["Name"]):
        return {"Parameter": referenced(call, request["Name"], bool(request.get("WithDecryption")))}
    found = selected(call, request["Name"])
    if found is None:
        raise not_found(request["Name"])
    return {"Parameter": _told(call, *found, decrypt=bool(request.get("WithDecryption")))}


@api.operation
def get_parameters(call, request):
    """Each name is found or told back as invalid."""
    found, invalid = {}, []
    for given in dict.fromkeys(request["Names"]):
        told = _try(call, given, bool(request.get("WithDecryption")))
        if told is None:
            invalid.append(given)
        else:
            found[given] = told
    return {"Parameters": sorted(found.values(), key=lambda one: (one["Name"], one["Version"])), "InvalidParameters": invalid}


@api.operation
def get_parameters_by_path(call, request):
    path = request["Path"]
    check_path(path)
    filters = request.get("ParameterFilters") or []
    check_filters(filters, ("Type", "KeyId", "Label"))
    after = decode_token(request.get("NextToken"), api.error.InvalidNextToken, "") or ""
    limit, shown, last = request.get("MaxResults") or 10, [], ""
    for name, arn, version in _under(call, path if path.endswith("/") else f"{path}/", after, request, filters):
        if len(shown) == limit:
            return {"Parameters": shown, "NextToken": encode_token(last)}
        shown.append(_told(call, name, arn, version, "", decrypt=bool(request.get("WithDecryption"))))
        last = name
    return {"Parameters": shown}


@api.operation
def get_parameter_history(call, request):
    record = the_parameter(call, request["Name"])
    after = decode_token(request.get("NextToken"), api.error.InvalidNextToken, 0) or 0
    left, limit = [one for one in versions(call, record) if one["Version"] > after], request.get("MaxResults") or 50
    told = []
    for one in left[:limit]:
        entry = {
            "Name": record.name,
            "LastModifiedDate": one["At"],
            "LastModifiedUser": one["User"],
            "Value": value_of(call, record.arn, one, bool(request.get("WithDecryption"))),
            "Labels": labels_of(record, one["Version"]),
            "Policies": told_policies(one),
        }
        told.append(entry | {name: one[name] for name in METADATA if name in one})
    return {"Parameters": told} | ({"NextToken": encode_token(left[limit - 1]["Version"])} if len(left) > limit else {})


# --- helpers -------------------------------------------------------------------------------------

METADATA = ("Type", "KeyId", "Description", "AllowedPattern", "Version", "Tier", "DataType")
"""Members of a version that are told as they are kept."""


def told_policies(version: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"PolicyText": orjson.dumps(one).decode(), "PolicyType": one["Type"], "PolicyStatus": "Pending"}
        for one in version.get("Policies") or []
    ]


def _under(call: Any, prefix: str, after: str, request: Mapping[str, Any], filters: list[Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, ARN, version) of the parameters below a path, after a name."""
    recursive = bool(request.get("Recursive"))
    for name, version in public_under(prefix, call.region):
        if name > after and (recursive or "/" not in name[len(prefix) :]):
            yield name, f"arn:aws:ssm:{call.region}::parameter/{name[1:]}", version
    for record in by_prefix(call.store, call.account, call.region, "" if prefix == "/" else prefix, after):
        if not recursive and "/" in rooted(record.name)[len(prefix) :]:
            continue
        number = next((record.spec.get("Labels", {}).get(one["Values"][0], 0) for one in filters if one["Key"] == "Label"), None)
        version = newest(record) if number is None else version_of(call, record, number)
        if version is not None and fits_filters(call, record, version, [one for one in filters if one["Key"] != "Label"]):
            yield record.name, record.arn, version


def _try(call: Any, given: str, decrypt: bool) -> dict[str, Any] | None:
    try:
        if is_reference(given):
            return referenced(call, given, decrypt)
        found = selected(call, given)
    except ApiError as problem:
        if problem.code in ("ParameterVersionNotFound", "ParameterNotFound"):
            return None
        raise
    return None if found is None else _told(call, *found, decrypt=decrypt)


def _told(call: Any, name: str, arn: str, version: Mapping[str, Any], selector: str, *, decrypt: bool) -> dict[str, Any]:
    told = {
        "Name": name,
        "Type": version["Type"],
        "Value": value_of(call, arn, version, decrypt),
        "Version": version["Version"],
        "LastModifiedDate": version["At"],
        "ARN": arn,
        "DataType": version["DataType"],
    }
    return told | ({"Selector": selector} if selector else {})
