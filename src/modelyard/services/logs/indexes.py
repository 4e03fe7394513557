"""Field indexes of groups: which fields `filterIndex` may ask for. What they would speed up is found here by the bits of packs anyway, so a policy
is kept and told, and decides which groups such a query looks into."""

from __future__ import annotations

from typing import Any

import orjson

from modelyard.services.logs import api
from modelyard.services.logs.groups import group_arn, the_group
from modelyard.services.logs.log_store import Group, LogStore

MOST_FIELDS, LONGEST_FIELD = 20, 100
DEFAULT_FIELDS = frozenset(
    {"@logStream", "@aws.region", "@aws.account", "@source.log", "@data_source_name", "@data_source_type", "@data_format"}
    | {"traceId", "severityText", "attributes.session.id"}
)
"""Of every group of the class STANDARD."""


@api.operation
def put_index_policy(call, request):
    group, document = the_group(call, request["logGroupIdentifier"]), request["policyDocument"]
    if group.log_class != "STANDARD":
        raise api.error.InvalidParameterException("Only log groups of the class STANDARD have field indexes.")
    _fields(document)
    with call.platform.logs.db.write() as tx:
        tx.execute(
            "INSERT INTO log_indexes VALUES (?,?,?) ON CONFLICT (group_id) DO UPDATE SET document = excluded.document, changed_ms = excluded.changed_ms",
            (group.id, document, call.platform.logs.now_ms()),
        )
    return {"indexPolicy": _describe(call, group)}


@api.operation
def describe_index_policies(call, request):
    groups = [the_group(call, name) for name in request["logGroupIdentifiers"]]
    return {"indexPolicies": [told for group in groups if (told := _describe(call, group)) is not None]}


@api.operation
def delete_index_policy(call, request):
    group = the_group(call, request["logGroupIdentifier"])
    with call.platform.logs.db.write() as tx:
        gone = tx.execute("DELETE FROM log_indexes WHERE group_id = ? RETURNING group_id", (group.id,))
    if not gone:
        raise api.error.ResourceNotFoundException("The log group has no index policy.")
    return {}


@api.operation
def describe_field_indexes(call, request):
    found = []
    for group in (the_group(call, name) for name in request["logGroupIdentifiers"]):
        policy = _policy(call.platform.logs, group)
        for name in _fields(policy[0]) if policy else ():
            found.append({"logGroupIdentifier": group_arn(call, group.name), "fieldIndexName": name, "lastScanTime": policy[1]})
    return {"fieldIndexes": found}


def indexed(logs: LogStore, group: Group) -> frozenset[str]:
    """Fields that `filterIndex` may ask this group for."""
    policy = _policy(logs, group)
    return DEFAULT_FIELDS | frozenset(_fields(policy[0])) if policy else DEFAULT_FIELDS


# --- helpers -------------------------------------------------------------------------------------


def _policy(logs: LogStore, group: Group) -> tuple[str, int] | None:
    rows = logs.db.read("SELECT document, changed_ms FROM log_indexes WHERE group_id = ?", (group.id,))
    return rows[0] if rows else None


def _fields(document: str) -> list[str]:
    try:
        read = orjson.loads(document)
    except orjson.JSONDecodeError:
        read = None
    fields = read.get("Fields") if isinstance(read, dict) else None
    if not isinstance(fields, list) or not all(isinstance(one, str) and 0 < len(one) <= LONGEST_FIELD for one in fields):
        raise api.error.InvalidParameterException('The policy document must be {"Fields": ["name", …]}.')
    if len(set(fields)) > MOST_FIELDS:
        raise api.error.LimitExceededException(f"A log group has at most {MOST_FIELDS} field indexes.")
    return list(dict.fromkeys(fields))


def _describe(call: Any, group: Group) -> dict[str, Any] | None:
    policy = _policy(call.platform.logs, group)
    if policy is None:
        return None
    return {
        "logGroupIdentifier": group_arn(call, group.name),
        "lastUpdateTime": policy[1],
        "policyDocument": policy[0],
        "source": "LOG_GROUP",
    }
