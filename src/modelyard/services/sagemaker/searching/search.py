"""Search: candidates, filter, sort, one page. Where an index knows the order or the hits, only the page is read."""

from __future__ import annotations

from typing import Any

from modelyard.kernel import models
from modelyard.kernel.errors import validation
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.experiments.run_metrics import STATISTICS
from modelyard.services.sagemaker.searching.expression import check, matches, names, values
from modelyard.services.sagemaker.searching.resources import RESOURCES, Resource

PAGE = 10
INDEXED = {"lastmodifiedtime": "updated_at", "creationtime": "created_at"}
MOST_SUBEXPRESSIONS = 20


@api.operation
def search(call, request):
    resource = RESOURCES.get(request["Resource"])
    if resource is None or request.get("CrossAccountFilterOption") == "CrossAccount":
        return {"Results": [], "TotalHits": {"Value": 0, "Relation": "EqualTo"}}
    expression = request.get("SearchExpression") or {}
    check(expression)
    asked = repr(sorted((k, v) for k, v in request.items() if k not in ("MaxResults", "NextToken")))
    start = _place(request.get("NextToken"), asked)
    limit = request.get("MaxResults", PAGE)
    hits, total = _page(call, resource, request, expression, start, limit)
    answer: dict[str, Any] = {
        "Results": [_shown(call, resource, record, document) for record, document in hits],
        "TotalHits": {"Value": total, "Relation": "EqualTo"},
    }
    if start + limit < total:
        answer["NextToken"] = encode_token([asked, start + limit])
    return answer


def _place(token: str | None, asked: str) -> int:
    found = decode_token(token, validation, ["", 0])
    if found is not None and found[0] != asked:
        raise validation("The pagination token is invalid: it belongs to another request.")
    return found[1] if found else 0


Hit = tuple[Record, dict[str, Any]]


def _page(
    call: Any, resource: Resource, request: dict[str, Any], expression: dict[str, Any], start: int, limit: int
) -> tuple[list[Hit], int]:
    """The hits of one page, and how many there are in all."""
    sort_by = request.get("SortBy", "LastModifiedTime")
    descending = request.get("SortOrder", "Descending") == "Descending"
    if not expression and (column := INDEXED.get(sort_by.lower())):
        found = call.store.list(resource.kind, call.account, call.region, order_by=column, descending=descending, limit=limit, offset=start)
        return [(record, resource.describe(call, record)) for record in found], call.store.count(resource.kind, call.account, call.region)
    if not expression and (ranked := _ranked(call, resource, sort_by, descending)) is not None:
        page = call.store.by_uids(ranked[start : start + limit])
        return [(record, resource.describe(call, record)) for record in page], len(ranked)
    hits = _hits(call, resource, expression, sort_by)
    present = [(found[0], hit) for hit in hits if (found := values(hit[1], sort_by))]
    missing = [hit for hit in hits if not values(hit[1], sort_by)]
    present.sort(key=lambda row: _sort_key(row[0]), reverse=descending)
    return [*(hit for _, hit in present), *missing][start : start + limit], len(hits)


def _ranked(call: Any, resource: Resource, sort_by: str, descending: bool) -> list[str] | None:
    """All components in the order of a metric, those without it last; None where the order is not one of the metrics' index."""
    if "Metrics" not in resource.extras or not sort_by.lower().startswith("metrics."):
        return None
    name, _, statistic = sort_by[len("metrics.") :].rpartition(".")
    if statistic.lower() not in STATISTICS:
        name, statistic = sort_by[len("metrics.") :], "last"
    mine = call.store.uids(resource.kind, call.account, call.region)
    present = set(mine)
    first = [uid for uid in call.platform.run_metrics.ranked(name, statistic.lower(), descending) if uid in present]
    have = set(first)
    return [*first, *(uid for uid in mine if uid not in have)]


def _hits(call: Any, resource: Resource, expression: dict[str, Any], sort_by: str) -> list[Hit]:
    read = {name.partition(".")[0].lower() for name in (*names(expression), sort_by)}
    extras = {member: make for member, make in resource.extras.items() if member.lower() in read}
    metrics = call.platform.run_metrics.every_summary() if "Metrics" in extras else None
    hits = []
    for record in call.store.list(resource.kind, call.account, call.region, contains=_named(resource, expression)):
        document = resource.describe(call, record)
        for member, make in extras.items():
            document[member] = metrics.get(record.uid, []) if member == "Metrics" and metrics is not None else make(call, record)
        if matches(expression, document):
            hits.append((record, document))
    return hits


def _named(resource: Resource, expression: dict[str, Any]) -> str | None:
    """A part of the name that every hit must have: searches by name need not read everything."""
    if expression.get("Operator") == "Or":
        return None
    for one in expression.get("Filters", []):
        if one["Name"].lower() == resource.name.lower() and one.get("Operator", "Equals") in ("Equals", "Contains"):
            return one["Value"]
    return None


def _shown(call: Any, resource: Resource, record: Record, document: dict[str, Any]) -> dict[str, Any]:
    """What the resource's shape has: fewer members than its Describe, and the extras."""
    shapes = models.service_model("sagemaker")["shapes"]
    document = {**document, **{member: made for member, make in resource.extras.items() if (made := make(call, record)) is not None}}
    shown = {member: value for member, value in document.items() if member in shapes[resource.shape]["members"]}
    if "SourceDetail" in shown:
        detail = shapes["TrialComponentSourceDetail"]["members"]
        shown["SourceDetail"] = {
            member: {k: v for k, v in value.items() if k in shapes[detail[member]["shape"]]["members"]}
            if isinstance(value, dict)
            else value
            for member, value in shown["SourceDetail"].items()
        }
    return {resource.member: {resource.within: shown} if resource.within else shown}


def _sort_key(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))
