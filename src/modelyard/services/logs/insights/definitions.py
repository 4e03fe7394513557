"""Saved queries."""

from __future__ import annotations

import orjson

from modelyard.kernel.ids import new_uuid
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.logs import api

MOST = 1000
_KEPT = ("queryString", "logGroupNames", "parameters", "queryLanguage")


@api.operation
def put_query_definition(call, request):
    """Makes one, or with an id overwrites it. A name is there once; folders are slashes in names."""
    db, given = call.platform.logs.db, request.get("queryDefinitionId")
    who = (call.account, call.region)
    spec = {member: request[member] for member in _KEPT if member in request}
    spec["lastModified"] = int(call.now() * 1000)
    with db.write() as tx:
        rows = tx.execute("SELECT id, name FROM log_query_definitions WHERE account = ? AND region = ?", who)
        if given is not None and given not in {id for id, _ in rows}:
            raise api.error.ResourceNotFoundException("The specified query definition does not exist.")
        if any(name == request["name"] and id != given for id, name in rows):
            raise api.error.InvalidParameterException("Query definition with the same name already exists")
        if given is None and len(rows) >= MOST:
            raise api.error.LimitExceededException(f"An account can have at most {MOST} query definitions.")
        id = given or new_uuid()
        tx.execute(
            "INSERT INTO log_query_definitions (id, account, region, name, spec) VALUES (?,?,?,?,?) "
            "ON CONFLICT (id) DO UPDATE SET name = excluded.name, spec = excluded.spec",
            (id, *who, request["name"], orjson.dumps(spec).decode()),
        )
    return {"queryDefinitionId": id}


@api.operation
def describe_query_definitions(call, request):
    prefix, size = request.get("queryDefinitionNamePrefix", ""), request.get("maxResults", 1000)
    after = decode_token(request.get("nextToken"), api.error.InvalidParameterException, "") or ""
    rows = call.platform.logs.db.read(
        "SELECT id, name, spec FROM log_query_definitions WHERE account = ? AND region = ? AND name > ? AND substr(name, 1, ?) = ? "
        "ORDER BY name LIMIT ?",
        (call.account, call.region, after, len(prefix), prefix, size + 1),
    )
    found = [{"queryDefinitionId": id, "name": name, **orjson.loads(spec)} for id, name, spec in rows[:size]]
    wanted = request.get("queryLanguage")
    answer = {"queryDefinitions": [one for one in found if wanted in (None, one.get("queryLanguage", "CWLI"))]}
    if len(rows) > size:
        answer["nextToken"] = encode_token(rows[size - 1][1])
    return answer


@api.operation
def delete_query_definition(call, request):
    with call.platform.logs.db.write() as tx:
        gone = tx.execute(
            "DELETE FROM log_query_definitions WHERE id = ? AND account = ? AND region = ? RETURNING id",
            (request["queryDefinitionId"], call.account, call.region),
        )
    if not gone:
        raise api.error.ResourceNotFoundException("The specified query definition does not exist.")
    return {"success": True}
