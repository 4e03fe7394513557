"""ParameterFilters. Source: ParameterStringFilter in the SSM API reference."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.ssm import api

_OPTIONS = {"Name": {"Equals", "BeginsWith", "Contains"}, "Path": {"OneLevel", "Recursive"}}
_PLAIN = {"Equals", "BeginsWith"}
_VALUES = {"Type": {"String", "StringList", "SecureString"}, "Tier": {"Standard", "Advanced", "Intelligent-Tiering"}}
MOST_VALUES = 50


def check_filters(filters: Sequence[Mapping[str, Any]], keys: Collection[str]) -> None:
    """Raises what SSM says of a filter that it does not have. `keys` are those of the operation; `tag:` stands for all tags."""
    seen = set()
    for one in filters:
        key, option, values = one["Key"], one.get("Option"), one.get("Values") or []
        if key not in keys and not (key.startswith("tag:") and "tag:" in keys):
            raise api.error.InvalidFilterKey(
                f"The following filter key is not valid: {key}. Valid filter keys include: [{', '.join(sorted(keys))}]."
            )
        if key in seen:
            raise api.error.InvalidFilterKey(f"The following filter key occurs more than once: {key}.")
        seen.add(key)
        if not values and not key.startswith("tag:"):
            raise api.error.InvalidFilterValue(f"The following filter values are missing : null for filter key {key}")
        if option is not None and option not in _OPTIONS.get(key, _PLAIN):
            raise api.error.InvalidFilterOption(
                f"The following filter option is not valid: {option}. Valid options include: [{', '.join(sorted(_OPTIONS.get(key, _PLAIN)))}]."
            )
        if key in _VALUES and (option or "Equals") == "Equals" and not set(values) <= _VALUES[key]:
            raise api.error.InvalidFilterValue(
                f"The following filter value is not valid: {values}. Valid values include: {sorted(_VALUES[key])}"
            )
        if key == "Path" and not all(value.startswith("/") for value in values):
            raise api.error.InvalidFilterValue("The parameter path must begin with a slash.")


def fits_filters(call: Any, record: Record, version: Mapping[str, Any], filters: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the parameter passes all of them; one value of each is enough."""
    return all(_fits(call, record, version, one["Key"], one.get("Option"), one.get("Values") or []) for one in filters)


def _fits(call: Any, record: Record, version: Mapping[str, Any], key: str, option: str | None, values: Sequence[str]) -> bool:
    if key == "Path":
        return any(_below(record.name, value, option == "Recursive") for value in values)
    if key == "Label":
        return any(_compared(label, option, value) for label in record.spec.get("Labels", {}) for value in values)
    if key.startswith("tag:"):
        tag = call.store.tags(record.arn).get(key[4:])
        return tag is not None and (not values or any(_compared(tag, option, value) for value in values))
    have = record.name if key == "Name" else version.get(key)
    return have is not None and any(_compared(have, option, value) for value in values)


def _compared(have: str, option: str | None, value: str) -> bool:
    if option == "BeginsWith":
        return have.startswith(value)
    return value in have if option == "Contains" else have == value


def _below(name: str, path: str, recursive: bool) -> bool:
    prefix = path if path.endswith("/") else f"{path}/"
    name = name if name.startswith("/") else f"/{name}"
    return name.startswith(prefix) and (recursive or "/" not in name[len(prefix) :])
