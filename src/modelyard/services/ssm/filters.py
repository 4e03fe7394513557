"""ParameterFilters. Source: ParameterStringFilter in the SSM API reference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.ssm import api

_TOLD = {"Path": ("Recursive", "OneLevel")}
_PLAIN = ("BeginsWith", "Equals")
_VALUES = {"Type": ("String", "StringList", "SecureString"), "Tier": ("Standard", "Advanced", "Intelligent-Tiering")}
_PATH = re.compile(r"(/[A-Za-z0-9_.\-]+)*/?\Z")
PATH_RULE = (
    "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\". It can't be "
    'prefixed with "aws" or "ssm" (case-insensitive). It must use only letters, numbers, or the following symbols: . (period), - (hyphen), '
    '_ (underscore). Special characters are not allowed. All sub-paths, if specified, must use the forward slash symbol "/". '
    "Valid example: /get/parameters2-/by1./path0_."
)


def check_path(path: str) -> None:
    """Raises what SSM says of a path that no parameter can be below."""
    if not path.startswith("/") or not _PATH.match(path):
        raise validation(PATH_RULE)


def check_filters(filters: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> None:
    """Raises what SSM says of a filter that it does not have. `keys` are those of the operation; `tag:` stands for all tags."""
    seen = set()
    for one in filters:
        key, option, values = one["Key"], one.get("Option"), one.get("Values") or []
        if key not in keys and not (key.startswith("tag:") and "tag:" in keys):
            told = ", ".join(name for name in keys if name != "tag:")
            raise api.error.InvalidFilterKey(f"The following filter key is not valid: {key}. Valid filter keys include: [{told}].")
        if key in seen:
            raise api.error.InvalidFilterKey(
                f"The following filter is duplicated in the request: {key}. A request can contain only one occurrence of a specific filter."
            )
        seen.add(key)
        if not values and not key.startswith("tag:"):
            raise api.error.InvalidFilterValue(f"The following filter values are missing : null for filter key {key}")
        options = _TOLD.get(key, _PLAIN)
        if option is not None and option not in options and (key, option) != ("Name", "Contains"):
            raise api.error.InvalidFilterOption(
                f"The following filter option is not valid: {option}. Valid options include: [{', '.join(options)}]."
            )
        wrong = [value for value in values if key in _VALUES and value not in _VALUES[key]]
        if wrong and (option or "Equals") == "Equals":
            raise api.error.InvalidFilterValue(
                f"The following filter value is not valid: {wrong[0]}. Valid values include: [{', '.join(_VALUES[key])}]."
            )
        if key == "Path":
            _check_paths(values)


def _check_paths(values: Sequence[str]) -> None:
    for value in values:
        if value.lower().startswith(("/aws", "/ssm")):
            raise validation(
                'Filters for common parameters can\'t be prefixed with "aws" or "ssm" (case-insensitive). When using global parameters, '
                "please specify within a global namespace."
            )
        check_path(value)


def fits_filters(call: Any, record: Record, version: Mapping[str, Any], filters: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the parameter passes all of them; one value of each is enough."""
    return all(_fits(call, record, version, one["Key"], one.get("Option"), one.get("Values") or []) for one in filters)


def _fits(call: Any, record: Record, version: Mapping[str, Any], key: str, option: str | None, values: Sequence[str]) -> bool:
    if key == "Path":
        return any(_below(record.name, value, option == "Recursive") for value in values)
    if key == "Name":
        return any(_compared(rooted(record.name), option, value if option == "Contains" else rooted(value)) for value in values)
    if key.startswith("tag:"):
        tag = call.store.tags(record.arn).get(key[4:])
        return tag is not None and (not values or any(_compared(tag, option, value) for value in values))
    have = version.get(key)
    return have is not None and any(_compared(have, option, value) for value in values)


def _compared(have: str, option: str | None, value: str) -> bool:
    if option == "BeginsWith":
        return have.startswith(value)
    return value in have if option == "Contains" else have == value


def rooted(name: str) -> str:
    """`name` and `/name` are one parameter."""
    return name if name.startswith("/") else f"/{name}"


def _below(name: str, path: str, recursive: bool) -> bool:
    prefix, name = path if path.endswith("/") else f"{path}/", rooted(name)
    return name.startswith(prefix) and (recursive or "/" not in name[len(prefix) :])
