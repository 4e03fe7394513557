"""Insights operations: start, results, stop, list; one event by its pointer; the fields of a group."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections import Counter
from itertools import islice

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.ids import new_uuid
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.logs import api
from modelyard.services.logs.groups import group_arn, the_group, the_named_group
from modelyard.services.logs.insights.commands import compile_query
from modelyard.services.logs.insights.expressions import Malformed
from modelyard.services.logs.insights.program import Program
from modelyard.services.logs.insights.query_store import Query, QueryStore
from modelyard.services.logs.insights.values import document_of, leaves, text
from modelyard.services.logs.log_store import Group

MOST_GROUPS, MOST_BY_SOURCE, MOST_AT_ONCE = 50, 10_000, 30
MEMBERS = ("logGroupName", "logGroupNames", "logGroupIdentifiers")
MILLISECONDS_FROM = 100_000_000_000
"""Start and end are epoch seconds; what is larger than this is taken as milliseconds, as AWS does."""
PAGE_ROWS, MOST_FIELDS = 10_000, 1000
FIELDS_WINDOW_MS = 8 * 60_000


@api.operation
def start_query(call, request):
    language = request.get("queryLanguage", "CWLI")
    if language != "CWLI":
        raise api.error.InvalidParameterException(f"Queries in {language} are not built on this platform yet; use Logs Insights QL (CWLI).")
    start, end = _ms(request["startTime"], 0), _ms(request["endTime"], 999)
    if end < start:
        raise api.error.InvalidParameterException("Query's end time must not be before its start time.")
    now = int(call.now() * 1000)
    try:
        program = compile_query(request["queryString"], now)
    except Malformed as problem:
        raise _malformed(problem.message, problem.start, problem.end) from None
    groups = _groups(call, request, program)
    if program.source is not None:
        start, end = (given if said is None else said for given, said in ((start, program.source.start_ms), (end, program.source.end_ms)))
    if groups and all(end < max(group.oldest_ms(now), 0) for group in groups):
        raise _malformed(
            "Query's end date and time is either before the log groups creation time or exceeds the log groups log retention settings"
        )
    queries = QueryStore(call.platform.logs.db)
    if queries.running(call.account, call.region) >= MOST_AT_ONCE:
        raise api.error.LimitExceededException(f"Account maximum query concurrency limit of [{MOST_AT_ONCE}] reached.")
    id = new_uuid()
    spec = {
        "query": request["queryString"],
        "groups": [group.name for group in groups],
        "start_ms": start,
        "end_ms": end,
        "limit": request.get("limit"),
        "by": call.principal.arn,
    }
    queries.add(id, call.account, call.region, now, spec)
    call.platform.ring("logs")
    return {"queryId": id}


@api.operation
def get_query_results(call, request):
    queries = QueryStore(call.platform.logs.db)
    query = _the_query(call, queries, request["queryId"])
    rows = queries.results(query.id) if query.status == "Complete" else []
    start = decode_token(request.get("nextToken"), api.error.InvalidParameterException, 0) or 0
    size = request.get("maxItems") or PAGE_ROWS
    page = rows[start : start + size]
    answer = {
        "queryLanguage": "CWLI",
        "results": [[{"field": name, "value": value} for name, value in row] for row in page],
        "statistics": {**_NOTHING, **query.statistics, "resultCount": float(len(rows))},
        "status": query.status,
    }
    if start + size < len(rows):
        answer["nextToken"] = encode_token(start + size)
    return answer


@api.operation
def stop_query(call, request):
    queries = QueryStore(call.platform.logs.db)
    query = _the_query(call, queries, request["queryId"])
    if not queries.end(query.id, "Cancelled", int(call.now() * 1000), query.statistics, []):
        raise api.error.InvalidParameterException("Query is in an ended state: it cannot be stopped.")
    return {"success": True}


@api.operation
def list_log_groups_for_query(call, request):
    query = _the_query(call, QueryStore(call.platform.logs.db), request["queryId"])
    start = decode_token(request.get("nextToken"), api.error.InvalidParameterException, 0) or 0
    size = request.get("maxResults", 50)
    answer = {"logGroupIdentifiers": query.spec["groups"][start : start + size]}
    if start + size < len(query.spec["groups"]):
        answer["nextToken"] = encode_token(start + size)
    return answer


@api.operation
def describe_queries(call, request):
    wanted = request.get("logGroupName")
    found = [
        query
        for query in QueryStore(call.platform.logs.db).newest(call.account, call.region)
        if request.get("status", query.status) == query.status and (wanted is None or wanted in query.spec["groups"])
    ]
    if request.get("queryLanguage", "CWLI") != "CWLI":
        found = []
    start = decode_token(request.get("nextToken"), api.error.InvalidParameterException, 0) or 0
    size = request.get("maxResults", 1000)
    answer = {"queries": [_describe(query) for query in found[start : start + size]]}
    if start + size < len(found):
        answer["nextToken"] = encode_token(start + size)
    return answer


@api.operation
def get_log_record(call, request):
    try:
        place = orjson.loads(urlsafe_b64decode(request["logRecordPointer"].encode()))
        stream_id, at_ms, seq = (int(part) for part in place)
    except (binascii.Error, ValueError, TypeError):
        raise api.error.InvalidParameterException("The specified logRecordPointer is invalid.") from None
    logs = call.platform.logs
    origin = logs.origin(stream_id) if max(stream_id, at_ms, seq) < 1 << 63 else None
    event = logs.event(stream_id, at_ms, seq) if origin and origin[:2] == (call.account, call.region) else None
    if event is None:
        raise api.error.ResourceNotFoundException("The specified log record does not exist.")
    record = {
        "@message": event.message,
        "@timestamp": str(event.at_ms),
        "@ingestionTime": str(event.ingested_ms),
        "@log": f"{call.account}:{origin[2]}",
        "@logStream": origin[3],
        "@ptr": request["logRecordPointer"],
    }
    for name, value in leaves(document_of(event.message) or {}).items():
        if (said := text(value)) is not None:
            record.setdefault(name, said)
    return {"logRecord": record}


@api.operation
def get_log_group_fields(call, request):
    """Of the events of 15 minutes around `time`, or of the last 15 minutes: which fields, in how many of them."""
    group = the_named_group(call, request)
    logs, now = call.platform.logs, int(call.now() * 1000)
    start, end = (
        (_ms(request["time"], 0) - FIELDS_WINDOW_MS, _ms(request["time"], 0) + FIELDS_WINDOW_MS)
        if "time" in request
        else (now - 900_000, now + 1)
    )
    counts: Counter[str] = Counter()
    seen = 0
    for event in islice(logs.scan(logs.streams(group, limit=1_000_000), start_ms=start, end_ms=end, newest_first=True), 10_000):
        seen += 1
        counts.update(["@timestamp", "@ingestionTime", "@logStream", "@log", "@message"])
        counts.update(leaves(document_of(event.message) or {}).keys())
    return {"logGroupFields": [{"name": name, "percent": round(100 * count / seen)} for name, count in counts.most_common(MOST_FIELDS)]}


# --- helpers -------------------------------------------------------------------------------------

_NOTHING = {"recordsMatched": 0.0, "recordsScanned": 0.0, "bytesScanned": 0.0}


def _named_groups(request: dict) -> list[str]:
    given = [member for member in MEMBERS if request.get(member)]
    if len(given) != 1:
        raise api.error.InvalidParameterException(
            "A StartQuery operation must include exactly one of logGroupName, logGroupNames, logGroupIdentifiers."
        )
    names = request[given[0]]
    names = [names] if isinstance(names, str) else names
    if len(names) > MOST_GROUPS:
        raise api.error.InvalidParameterException(f"A query can search at most {MOST_GROUPS} log groups.")
    return list(dict.fromkeys(names))


def _groups(call, request: dict, program: Program) -> list[Group]:
    """The groups that are asked, by SOURCE or by members of the request; of those the request does not name, whether the caller may."""
    sources = [sub.program.source for sub in program.subs if sub.program.source is not None]
    if program.source is None:
        groups = [_searched(call, name) for name in _named_groups(request)]
    else:
        if any(request.get(member) for member in MEMBERS):
            raise api.error.InvalidParameterException(
                "Log groups are given by SOURCE in the query or by a member of the request, not by both."
            )
        sources.append(program.source)
        groups = []
    for source in sources:
        for name in source.names:
            _searched(call, name)
        found = source.groups(call.platform.logs, call.account, call.region)
        if len(found) > MOST_BY_SOURCE:
            raise api.error.InvalidParameterException(f"SOURCE selects more than {MOST_BY_SOURCE} log groups; select fewer.")
        for name in found:
            call.authorize("logs:StartQuery", f"{group_arn(call, name)}:*")
        if source is program.source:
            groups = [_searched(call, name) for name in found]
    if program.unmasks:
        for group in groups:
            call.authorize("logs:Unmask", f"{group_arn(call, group.name)}:*")
    return groups


def _searched(call, name: str):
    try:
        return the_group(call, name)
    except ApiError as problem:
        raise api.error.ResourceNotFoundException(
            f"Log group '{name}' does not exist for account ID '{call.account}' (Service: AWSLogs; Status Code: 400; "
            f"Error Code: ResourceNotFoundException; Request ID: {call.request_id}; Proxy: null)"
        ) from problem


def _ms(said: int, last: int) -> int:
    """Milliseconds of a time in seconds (the second's first or last one)."""
    return said if said >= MILLISECONDS_FROM else said * 1000 + last


def _malformed(message: str, start: int = 0, end: int = 0):
    return api.error.MalformedQueryException(
        message, queryCompileError={"location": {"startCharOffset": start, "endCharOffset": max(start, end)}, "message": message}
    )


def _the_query(call, queries: QueryStore, id: str) -> Query:
    query = queries.find(call.account, call.region, id)
    if query is None:
        raise api.error.ResourceNotFoundException("The specified query does not exist.")
    return query


def _with_source(spec: dict) -> str:
    """As DescribeQueries tells it: with the groups and the time that it is about."""
    if spec["query"].lstrip()[:6].lower() == "source":
        return spec["query"]
    groups = " ".join(f'"{name}"' for name in spec["groups"])
    return f"SOURCE {groups} START={spec['start_ms']} END={spec['end_ms']} | {spec['query']}"


def _describe(query: Query) -> dict:
    said = {
        "queryLanguage": "CWLI",
        "queryId": query.id,
        "queryString": _with_source(query.spec),
        "status": query.status,
        "createTime": query.created_ms,
        "logGroupName": query.spec["groups"][0] if query.spec["groups"] else "",
        "userIdentity": query.spec["by"],
        "bytesScanned": query.statistics.get("bytesScanned", 0.0),
    }
    if query.ended_ms is not None:
        said["queryDuration"] = query.ended_ms - query.created_ms
    return said
