"""A SearchExpression on one document: filters, nested filters, sub-expressions (pure).

Property names are compared without case, as AWS suggests `metrics.loss.max` for what Describe calls Metrics. A name may contain dots: of a
map or of a list of named things (`HyperParameters.a.b`, `Metrics.train:f1.max`, `Tags.team`) the longest key that is there is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from modelyard.kernel.errors import validation

NAMED = {"metrics": "MetricName", "finalmetricdatalist": "MetricName", "tags": "Key"}
"""Lists whose items are found by a name, and the member that has it."""
SHORT = {"tags": "Value", "finalmetricdatalist": "Value", "metrics": "Last"}
"""What such an item stands for where nothing further is named."""
ALIASES = {"metrics": ("Metrics", "FinalMetricDataList")}


def matches(expression: dict[str, Any], document: dict[str, Any]) -> bool:
    """And is the default operator, no condition matches all."""
    tests: list[Any] = [(_filter, one) for one in expression.get("Filters", [])]
    tests += [(_nested, one) for one in expression.get("NestedFilters", [])]
    tests += [(matches, one) for one in expression.get("SubExpressions", [])]
    if not tests:
        return True
    found = (test(one, document) for test, one in tests)
    return any(found) if expression.get("Operator") == "Or" else all(found)


def check(expression: dict[str, Any]) -> None:
    """Raises ValidationException for a filter without the value that its operator needs."""
    for one in [*expression.get("Filters", []), *(f for n in expression.get("NestedFilters", []) for f in n["Filters"])]:
        if one.get("Value") is None and one.get("Operator", "Equals") not in ("Exists", "NotExists"):
            raise validation(f"The filter on {one['Name']} with the operator {one.get('Operator', 'Equals')} needs a Value.")
    for one in expression.get("SubExpressions", []):
        check(one)


def names(expression: dict[str, Any]) -> Iterator[str]:
    """Every property name that an expression reads."""
    for one in expression.get("Filters", []):
        yield one["Name"]
    for one in expression.get("NestedFilters", []):
        yield one["NestedPropertyName"]
        yield from (f["Name"] for f in one["Filters"])
    for one in expression.get("SubExpressions", []):
        yield from names(one)


# --- values --------------------------------------------------------------------------------------


def values(document: Any, path: str) -> list[Any]:
    """Every value at a dotted path, through lists."""
    return list(_values(document, path))


def _values(item: Any, path: str) -> Iterator[Any]:
    if isinstance(item, list):
        for one in item:
            yield from _values(one, path)
        return
    if not path:
        yield _parameter(item)
        return
    if not isinstance(item, dict):
        return
    for key, rest in _steps(item, path):
        value = item[key]
        name = NAMED.get(key.lower())
        if name is not None and rest and isinstance(value, list) and (found := list(_by_name(value, name, rest, SHORT[key.lower()]))):
            yield from found
        else:
            yield from _values(value, rest)


def _parameter(item: Any) -> Any:
    """`Parameters.lr` of a trial component means its value, as `Parameters.lr.NumberValue` does."""
    if isinstance(item, dict) and len(item) == 1 and (found := item.get("NumberValue", item.get("StringValue"))) is not None:
        return found
    return item


def _steps(item: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """(key, rest of the path): the longest key that the path begins with."""
    lower = path.lower()
    best = None
    for key in item:
        low = key.lower()
        if (lower == low or lower.startswith(low + ".")) and (best is None or len(key) > len(best)):
            best = key
    if best is not None:
        yield best, path[len(best) + 1 :]
        return
    head, _, rest = path.partition(".")
    for other in ALIASES.get(head.lower(), ()):
        if other in item:
            yield other, rest


def _by_name(rows: list[Any], name: str, rest: str, short: str) -> Iterator[Any]:
    for row in rows:
        if not isinstance(row, dict) or name not in row:
            continue
        if row[name] == rest:
            yield row[short]
        elif rest.startswith(row[name] + "."):
            yield from _values(row, rest[len(row[name]) + 1 :])


# --- filters -------------------------------------------------------------------------------------


def _filter(one: dict[str, Any], document: dict[str, Any]) -> bool:
    have, operator, wanted = values(document, one["Name"]), one.get("Operator", "Equals"), one.get("Value")
    if operator == "Exists":
        return bool(have)
    if operator == "NotExists":
        return not have
    if operator == "NotEquals":
        return not any(_compare("Equals", value, wanted) for value in have)
    if operator == "In":
        return any(_compare("Equals", value, item.strip()) for value in have for item in wanted.split(","))
    return any(_compare(operator, value, wanted) for value in have)


def _nested(one: dict[str, Any], document: dict[str, Any]) -> bool:
    """All filters of a nested filter hold for one and the same item of the list."""
    prefix = one["NestedPropertyName"]
    items: Iterable[Any] = values(document, prefix)

    def holds(item: Any) -> bool:
        return all(_filter({**f, "Name": _without(f["Name"], prefix)}, item) for f in one["Filters"])

    return any(isinstance(item, dict) and holds(item) for item in items)


def _without(name: str, prefix: str) -> str:
    return name[len(prefix) + 1 :] if name.lower().startswith(prefix.lower() + ".") else name


def _compare(operator: str, value: Any, wanted: str) -> bool:
    if isinstance(value, (dict, list)):
        return False
    if operator == "Contains":
        return wanted.lower() in str(value).lower()
    left, right = _comparable(value, wanted)
    if left is None:
        return False
    return {
        "Equals": left == right,
        "GreaterThan": left > right,
        "GreaterThanOrEqualTo": left >= right,
        "LessThan": left < right,
        "LessThanOrEqualTo": left <= right,
    }[operator]


def _comparable(value: Any, wanted: str) -> tuple[Any, Any]:
    """The two sides as numbers (times count as epoch seconds), else as texts without case; None where they do not compare."""
    if isinstance(value, bool):
        return str(value).lower(), wanted.lower()
    number = _number(wanted)
    mine = _number(value) if number is not None else None
    if mine is not None and number is not None:
        return mine, number
    if isinstance(value, (int, float)):
        return None, None
    return str(value).lower(), wanted.lower()


def _number(value: Any) -> float | None:
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        pass
    try:
        return datetime.fromisoformat(str(value).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
