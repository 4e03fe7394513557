"""Search over resources: filters, nested filters, sub-expressions, sort, paging, on what Describe answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from modelyard.kernel import models
from modelyard.kernel.errors import validation
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import tag_list
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE as TRAINING_JOB
from modelyard.services.sagemaker.training_job.operations import describe as describe_training_job

PAGE = 10
# Resource → (kind of record, its Describe shape). Resources that are not built have no records to find.
SEARCHABLE: dict[str, tuple[str, Callable[[Record], dict[str, Any]]]] = {
    "TrainingJob": (TRAINING_JOB.kind, describe_training_job),
}


@api.operation
def search(call, request):
    resource = request["Resource"]
    if resource not in SEARCHABLE:
        return {"Results": [], "TotalHits": {"Value": 0, "Relation": "EqualTo"}}
    kind, describe = SEARCHABLE[resource]
    documents = []
    for record in call.store.list(kind, call.account, call.region):
        document = describe(record)
        document["Tags"] = tag_list(call.store.tags(record.arn))
        documents.append(document)
    expression = request.get("SearchExpression") or {}
    hits = [document for document in documents if matches(expression, document)]
    sort_by = request.get("SortBy", "LastModifiedTime")
    present = [document for document in hits if values(document, sort_by)]
    missing = [document for document in hits if not values(document, sort_by)]
    present.sort(
        key=lambda document: _sort_key(values(document, sort_by)[0]), reverse=request.get("SortOrder", "Descending") == "Descending"
    )
    hits = present + missing
    start = decode_token(request.get("NextToken"), validation, 0) or 0
    end = start + request.get("MaxResults", PAGE)
    results = [{resource: _shown(resource, document)} for document in hits[start:end]]
    answer = {"Results": results, "TotalHits": {"Value": len(hits), "Relation": "EqualTo"}}
    if end < len(hits):
        answer["NextToken"] = encode_token(end)
    return answer


def _shown(resource: str, document: dict[str, Any]) -> dict[str, Any]:
    """What the resource's shape has: fewer members than its Describe."""
    known = models.service_model("sagemaker")["shapes"][resource]["members"]
    return {member: value for member, value in document.items() if member in known}


# --- pure ----------------------------------------------------------------------------------------


def matches(expression: dict[str, Any], document: dict[str, Any]) -> bool:
    """A SearchExpression on one document; And is the default operator, no condition matches all."""
    tests = [_filter(one, document) for one in expression.get("Filters", [])]
    tests += [_nested(one, document) for one in expression.get("NestedFilters", [])]
    tests += [matches(one, document) for one in expression.get("SubExpressions", [])]
    if not tests:
        return True
    return any(tests) if expression.get("Operator") == "Or" else all(tests)


def values(document: Any, path: str) -> list[Any]:
    """Every value at a dotted path, through lists; `Metrics.<name>` reads the final metrics."""
    if path.startswith("Metrics."):
        name = path.removeprefix("Metrics.")
        return [m["Value"] for m in document.get("FinalMetricDataList", []) if m["MetricName"] == name]
    if path.startswith("Tags.") and path != "Tags.Key" and path != "Tags.Value":
        return [t["Value"] for t in document.get("Tags", []) if t["Key"] == path.removeprefix("Tags.")]
    found: list[Any] = [document]
    rest = path
    while rest:
        head, _, tail = rest.partition(".")
        flat = [item for value in found for item in (value if isinstance(value, list) else [value])]
        if any(isinstance(item, dict) and rest in item for item in flat):
            found = [item[rest] for item in flat if isinstance(item, dict) and rest in item]
            break
        found = [item[head] for item in flat if isinstance(item, dict) and head in item]
        rest = tail
    return [item for value in found for item in (value if isinstance(value, list) else [value])]


def _filter(one: dict[str, Any], document: dict[str, Any]) -> bool:
    have, operator, wanted = values(document, one["Name"]), one.get("Operator", "Equals"), one.get("Value")
    if operator == "Exists" or (wanted is None and operator == "Equals"):
        return bool(have)
    if operator == "NotExists":
        return not have
    if wanted is None:
        raise validation(f"The filter on {one['Name']} with the operator {operator} needs a Value.")
    if operator == "NotEquals":
        return not any(_compare("Equals", value, wanted) for value in have)
    if operator == "In":
        return any(_compare("Equals", value, item.strip()) for value in have for item in wanted.split(","))
    return any(_compare(operator, value, wanted) for value in have)


def _compare(operator: str, value: Any, wanted: str) -> bool:
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
    mine = _number(value)
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


def _nested(one: dict[str, Any], document: dict[str, Any]) -> bool:
    """All filters of a nested filter hold for one and the same item of the list."""
    prefix = one["NestedPropertyName"]
    items: Iterable[Any] = values(document, prefix)

    def holds(item: Any) -> bool:
        return all(_filter({**f, "Name": f["Name"].removeprefix(prefix + ".")}, item) for f in one["Filters"])

    return any(isinstance(item, dict) and holds(item) for item in items)


def _sort_key(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))
