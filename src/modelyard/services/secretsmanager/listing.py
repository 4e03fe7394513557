"""ListSecrets."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.services.secretsmanager import api
from modelyard.services.secretsmanager.filters import matching
from modelyard.services.secretsmanager.read import described

_SORTED_BY = {
    "created-date": lambda one: one.created_at,
    "last-accessed-date": lambda one: one.spec.get("Accessed") or 0.0,
    "last-changed-date": lambda one: one.spec["Changed"],
}


@api.operation
def list_secrets(call, request):
    by, limit = request.get("SortBy", "created-date"), request.get("MaxResults") or 100
    found = [
        one for one in matching(call, request.get("Filters") or []) if request.get("IncludePlannedDeletion") or not one.spec.get("Deletion")
    ]

    def place(one: Record) -> list[Any]:
        return [one.name, one.name] if by == "name" else [_SORTED_BY[by](one), one.name]

    descending = request.get("SortOrder") == "desc"
    found.sort(key=place, reverse=descending)
    like = ["", ""] if by == "name" else [0.0, ""]
    after = decode_token(request.get("NextToken"), api.error.InvalidNextTokenException, like)
    if after is not None:
        found = [one for one in found if (place(one) < after if descending else place(one) > after)]
    told = []
    for one in found[:limit]:
        versions = {name: version["Stages"] for name, version in one.spec["Versions"].items() if version["Stages"]}
        entry = described(call, one)
        entry.pop("ReplicationStatus", None)  # DescribeSecret has it only
        told.append(entry | ({"SecretVersionsToStages": versions} if versions else {}))
    return {"SecretList": told, **({"NextToken": encode_token(place(found[limit - 1]))} if len(found) > limit else {})}
