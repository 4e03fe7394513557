"""Search: candidates, filter, sort, one page. Where an index knows the order or the hits, only those are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
SIGNS = {"Equals": "=", "GreaterThan": ">", "GreaterThanOrEqualTo": ">=", "LessThan": "<", "LessThanOrEqualTo": "<="}
METRICS = "metrics."
Hit = tuple[Record, dict[str, Any]]


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
    answer: dict[str, Any] = {"Results": _shown(call, resource, hits), "TotalHits": {"Value": total, "Relation": "EqualTo"}}
    if start + limit < total:
        answer["NextToken"] = encode_token([asked, start + limit])
    return answer


def _place(token: str | None, asked: str) -> int:
    found = decode_token(token, validation, ["", 0])
    if found is not None and found[0] != asked:
        raise validation("The pagination token is invalid: it belongs to another request.")
    return found[1] if found else 0


def _page(
    call: Any, resource: Resource, request: dict[str, Any], expression: dict[str, Any], start: int, limit: int
) -> tuple[list[Hit], int]:
    """The hits of one page, and how many there are in all."""
    sort_by = request.get("SortBy", "LastModifiedTime")
    descending = request.get("SortOrder", "Descending") == "Descending"
    if not expression:
        found = _by_index(call, resource, sort_by, descending, start, limit)
        if found is not None:
            count = call.store.count(resource.kind, call.account, call.region)
            return [(record, resource.describe(call, record)) for record in found], count
    hits = _hits(call, resource, expression, sort_by)
    present = [(found[0], hit) for hit in hits if (found := values(hit[1], sort_by))]
    missing = [hit for hit in hits if not values(hit[1], sort_by)]
    present.sort(key=lambda row: _sort_key(row[0]), reverse=descending)
    return [*(hit for _, hit in present), *missing][start : start + limit], len(hits)


# --- by an index ---------------------------------------------------------------------------------


def _by_index(call: Any, resource: Resource, sort_by: str, descending: bool, start: int, limit: int) -> list[Record] | None:
    """The page, where an index has the order of all records; None where none has it."""
    if column := INDEXED.get(sort_by.lower()):
        return call.store.list(resource.kind, call.account, call.region, order_by=column, descending=descending, limit=limit, offset=start)
    metric = _metric(resource, sort_by)
    if metric is None:
        return None
    found: list[Record] = []
    for record in _ranked(call, resource, *metric, descending):
        found.append(record)
        if len(found) == start + limit:
            break
    return found[start:]


def _metric(resource: Resource, path: str) -> tuple[str, str] | None:
    """(metric, statistic) of `Metrics.loss.max`; of `Metrics.loss` the last value; None for another property."""
    if "Metrics" not in resource.extras or not path.lower().startswith(METRICS):
        return None
    name, _, statistic = path[len(METRICS) :].rpartition(".")
    return (name, statistic.lower()) if name and statistic.lower() in STATISTICS else (path[len(METRICS) :], "last")


def _ranked(call: Any, resource: Resource, name: str, statistic: str, descending: bool) -> Iterator[Record]:
    """All of them in the order of a metric; those that do not have it come last, changed last first."""
    have: set[str] = set()
    size, offset = 200, 0
    while uids := call.platform.run_metrics.ranked(name, statistic, descending, size, offset):
        have.update(uids)
        offset, size = offset + len(uids), 2000
        yield from (r for r in call.store.by_uids(uids) if _is_mine(call, resource, r))
    rest = [uid for uid in call.store.uids(resource.kind, call.account, call.region) if uid not in have]
    for at in range(0, len(rest), 200):
        yield from call.store.by_uids(rest[at : at + 200])


def _is_mine(call: Any, resource: Resource, record: Record) -> bool:
    return (record.kind, record.account, record.region) == (resource.kind, call.account, call.region)


# --- by looking ----------------------------------------------------------------------------------


def _hits(call: Any, resource: Resource, expression: dict[str, Any], sort_by: str) -> list[Hit]:
    paths = [*names(expression), sort_by]
    records = _candidates(call, resource, expression)
    read = {path.partition(".")[0].lower() for path in paths}
    extras = {member: make(call, records) for member, make in resource.extras.items() if member.lower() in read and member != "Metrics"}
    if "Metrics" in resource.extras and "metrics" in read:
        extras["Metrics"] = _metrics_for(call, records, paths)
    hits = []
    for record in records:
        document = resource.describe(call, record)
        for member, made in extras.items():
            if record.uid in made:
                document[member] = made[record.uid]
        if matches(expression, document):
            hits.append((record, document))
    return hits


def _metrics_for(call: Any, records: Sequence[Record], paths: Sequence[str]) -> dict[str, Any]:
    """Only the metrics that the expression reads."""
    wanted = [path[len(METRICS) :] for path in paths if path.lower().startswith(METRICS)]
    if any(path.lower() == "metrics" for path in paths) or any(path.split(".")[0] == "MetricName" for path in wanted):
        return call.platform.run_metrics.summaries_of(dict.fromkeys((r.uid for r in records), ""))
    found: dict[str, Any] = {}
    uids = [record.uid for record in records]
    for path in dict.fromkeys(wanted):
        for uid, rows in call.platform.run_metrics.named(path, uids).items():
            found.setdefault(uid, []).extend(rows)
    return found


def _candidates(call: Any, resource: Resource, expression: dict[str, Any]) -> list[Record]:
    """Records among which all hits are: where all filters must hold, those that one with an index lets through."""
    filters = [] if expression.get("Operator") == "Or" else expression.get("Filters", [])
    for one in filters:
        metric, sign = _metric(resource, one["Name"]), SIGNS.get(one.get("Operator", "Equals"))
        if metric is not None and sign is not None and (bound := _number(one["Value"])) is not None:
            found = call.store.by_uids(call.platform.run_metrics.beyond(*metric, sign, bound))
            return [record for record in found if _is_mine(call, resource, record)]
    contains = None
    for one in filters:
        if one["Name"].lower() == resource.name.lower() and one.get("Operator", "Equals") in ("Equals", "Contains"):
            contains = one["Value"]
    return call.store.list(resource.kind, call.account, call.region, contains=contains)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# --- shown ---------------------------------------------------------------------------------------


def _shown(call: Any, resource: Resource, hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """What the resource's shape has: fewer members than its Describe, and the extras."""
    shapes = models.service_model("sagemaker")["shapes"]
    known, records = shapes[resource.shape]["members"], [record for record, _ in hits]
    extras = {member: make(call, records) for member, make in resource.extras.items() if member in known}
    rows = []
    for record, document in hits:
        shown = {member: value for member, value in document.items() if member in known and member not in extras}
        shown |= {member: made[record.uid] for member, made in extras.items() if record.uid in made}
        if "SourceDetail" in shown:
            shown["SourceDetail"] = _cut(shown["SourceDetail"], shapes)
        rows.append({resource.member: {resource.within: shown} if resource.within else shown})
    return rows


def _cut(detail: dict[str, Any], shapes: dict[str, Any]) -> dict[str, Any]:
    """The job in a SourceDetail, without what its shape there lacks."""
    known = shapes["TrialComponentSourceDetail"]["members"]
    return {
        member: {k: v for k, v in value.items() if k in shapes[known[member]["shape"]]["members"]} if isinstance(value, dict) else value
        for member, value in detail.items()
    }


def _sort_key(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))
