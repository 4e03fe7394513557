"""The history of a target: what was scaled, and what was not and why. A table of its own, kept six weeks as AWS keeps it.

A row is a ScalingActivity as it is answered; writing one again replaces it, so a crash between two writes is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel.database import Database, Tx
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.applicationautoscaling import api
from modelyard.services.applicationautoscaling.resource import check

KEPT_SECONDS = 42 * 86_400.0
PAGE = 50
COMPONENT = "application-autoscaling"
MIGRATIONS = [
    """
    CREATE TABLE scaling_activities (
        id TEXT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL, resource TEXT NOT NULL, dimension TEXT NOT NULL,
        started_at DOUBLE PRECISION NOT NULL, scaled INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE INDEX scaling_activities_place ON scaling_activities (account, region, started_at, id)
    """,
]


@api.operation
def describe_scaling_activities(call, request):
    check_filter(request)
    limit = page_size(request, PAGE)
    after = decode_token(request.get("NextToken"), api.error.InvalidNextTokenException, [0.0, ""])
    where, values = ["account = ?", "region = ?"], [call.account, call.region]
    for column, member in (("resource", "ResourceId"), ("dimension", "ScalableDimension")):
        if request.get(member):
            where.append(f"{column} = ?")
            values.append(request[member])
    if not request.get("IncludeNotScaledActivities"):
        where.append("scaled = 1")
    if after:
        where.append("(started_at < ? OR (started_at = ? AND id < ?))")
        values += [after[0], *after]
    rows = _db(call.platform).read(
        f"SELECT started_at, id, body FROM scaling_activities WHERE {' AND '.join(where)} ORDER BY started_at DESC, id DESC LIMIT ?",
        (*values, limit + 1),
    )
    answer: dict[str, Any] = {"ScalingActivities": [orjson.loads(row[2]) for row in rows[:limit]]}
    if len(rows) > limit:
        answer["NextToken"] = encode_token(list(rows[limit - 1][:2]))
    return answer


def check_filter(request: Mapping[str, Any]) -> None:
    """What the Describe operations refuse: a namespace that is not scaled here answers nothing, a wrong name an error."""
    if request.get("ScalableDimension") and not (request.get("ResourceId") or request.get("ResourceIds")):
        raise api.error.ValidationException("If you specify a scalable dimension, you must also specify a resource ID.")
    for resource in [request["ResourceId"]] if request.get("ResourceId") else request.get("ResourceIds", []):
        check(request["ServiceNamespace"], resource, request.get("ScalableDimension"))


def page_size(request: Mapping[str, Any], most: int) -> int:
    size = request.get("MaxResults", most)
    if not 1 <= size <= most:
        raise api.error.ValidationException(f"MaxResults must be between 1 and {most}.")
    return size


def write(platform: Any, account: str, region: str, body: Mapping[str, Any]) -> None:
    """Writes an activity, or what has become of it; forgets those of more than six weeks ago."""
    scaled = 0 if body.get("NotScaledReasons") else 1

    def work(tx: Tx) -> None:
        tx.execute(
            "DELETE FROM scaling_activities WHERE account = ? AND region = ? AND started_at < ?",
            (account, region, body["StartTime"] - KEPT_SECONDS),
        )
        tx.execute(
            "INSERT INTO scaling_activities VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (body["ActivityId"], account, region, body["ResourceId"], body["ScalableDimension"], body["StartTime"], scaled, orjson.dumps(body).decode()),
        )  # fmt: skip

    _db(platform).grouped(work)


def _db(platform: Any) -> Database:
    db: Database = platform.store.db
    if "scaling_activities" not in platform.parts:
        db.migrate(COMPONENT, MIGRATIONS)
        platform.parts["scaling_activities"] = True
    return db
