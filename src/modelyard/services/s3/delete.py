"""DeleteObject and DeleteObjects."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import api
from modelyard.services.s3.conditions import delete_condition
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import no_such_version, s3_error
from modelyard.services.s3.index import Version
from modelyard.services.s3.keys import check_key
from modelyard.services.s3.notices import Cause
from modelyard.services.s3.object_lock import check_bypass, check_unlocked, may_bypass

_MOST = 1000


@api.operation
def delete_object(call, request):
    home = owned_bucket(call, request)
    check_key(request["Key"])
    check_bypass(home, request)
    _may_compare(call, home.name, request["Key"], request.get("IfMatch"))
    return _delete(call, home.name, request["Key"], request)


@api.operation
def delete_objects(call, request):
    home, wanted = owned_bucket(call, request), request["Delete"]
    if not 1 <= len(wanted["Objects"]) <= _MOST:
        raise s3_error("MalformedXML")
    deleted, errors = [], []
    bypass = {"BypassGovernanceRetention": True} if request.get("BypassGovernanceRetention") else {}
    for one in wanted["Objects"]:
        name = {k: one[k] for k in ("Key", "VersionId") if k in one}
        try:
            check_key(one["Key"])
            _authorize(call, home.name, one)
            _may_compare(call, home.name, one["Key"], one.get("ETag"))
            deleted.append(
                {**name, **_told(one, _delete(call, home.name, one["Key"], {**_conditions(one), **bypass, "Bucket": home.name, **name}))}
            )
        except ApiError as problem:
            if problem.fields.get("ArgumentName") == "versionId":
                problem = no_such_version(home.name, one["Key"], one["VersionId"])
            errors.append({**name, "Code": problem.code, "Message": problem.message})
    answer: dict[str, Any] = {"Errors": errors} if errors else {}
    if not wanted.get("Quiet"):
        answer["Deleted"] = deleted
    return answer


def _delete(call: Any, bucket: str, key: str, request: dict[str, Any]) -> dict[str, Any]:
    bypass = may_bypass(call, request, bucket, key) if request.get("VersionId") is not None else False
    asked = delete_condition(request)

    def condition(have: Version | None) -> None:
        asked(have)
        if request.get("VersionId") is not None:
            check_unlocked(call, have, bypass)

    gone, marker = depot_of(call).delete(bucket, key, request.get("VersionId"), condition, Cause("ObjectRemoved", call))
    if marker is not None:
        return {"DeleteMarker": True, "VersionId": marker.version}
    if request.get("VersionId") is not None:
        return {"VersionId": request["VersionId"], **({"DeleteMarker": True} if gone is not None and gone.marker else {})}
    return {}


def _may_compare(call: Any, bucket: str, key: str, etag: str | None) -> None:
    """Who deletes on condition of an ETag learns of it, so he must be allowed to read the object (as on AWS)."""
    if etag not in (None, "*"):
        call.authorize("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}")


def _told(one: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """DeletedObject names the delete marker that was made or removed."""
    if not result.get("DeleteMarker"):
        return {}
    return {"DeleteMarker": True, "DeleteMarkerVersionId": result["VersionId"]}


def _conditions(one: dict[str, Any]) -> dict[str, Any]:
    found = {"IfMatch": one.get("ETag"), "IfMatchLastModifiedTime": one.get("LastModifiedTime"), "IfMatchSize": one.get("Size")}
    return {name: value for name, value in found.items() if value is not None}


def _authorize(call: Any, bucket: str, one: dict[str, Any]) -> None:
    """The keys of DeleteObjects are in its body, so each is checked here."""
    action = "s3:DeleteObjectVersion" if one.get("VersionId") else "s3:DeleteObject"
    condition = {"s3:VersionId": one["VersionId"]} if one.get("VersionId") else None
    call.authorize(action, f"arn:aws:s3:::{bucket}/{one['Key']}", condition)
