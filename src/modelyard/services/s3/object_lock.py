"""Object lock: versions that nobody may delete before their time, on the platform's clock.

Source: "Locking objects with Object Lock" of the S3 user guide. A version's lock is `meta["lock"]`: {"mode": GOVERNANCE | COMPLIANCE,
"until": seconds} and `meta["hold"]`: true under legal hold. A delete marker may still be put over a locked version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.database import Tx
from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import api
from modelyard.services.s3.conditions import seconds
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import invalid_argument, no_such_key, not_found, s3_error
from modelyard.services.s3.index import Bucket, Version

_DAY_S = 86_400.0
_MODES = ("GOVERNANCE", "COMPLIANCE")
_MOST_DAYS, _MOST_YEARS = 36_500, 100


def enabled(home: Bucket) -> bool:
    return bool((home.settings.get("ObjectLock") or {}).get("Enabled"))


def lock_of_new_object(call: Any, home: Bucket, request: Mapping[str, Any]) -> dict[str, Any]:
    """`lock` and `hold` of the meta of a new version: as the request says, else as the bucket's default rule says."""
    mode, until, hold = (request.get(f"ObjectLock{name}") for name in ("Mode", "RetainUntilDate", "LegalHoldStatus"))
    if not enabled(home):
        if mode or until or hold:
            raise s3_error("InvalidRequest", "Bucket is missing Object Lock Configuration")
        return {}
    if bool(mode) != bool(until):
        text = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
        raise s3_error("InvalidArgument", text, ArgumentName=f"x-amz-object-lock-{'retain-until-date' if mode else 'mode'}")
    meta: dict[str, Any] = {}
    for asked, action in ((mode, "s3:PutObjectRetention"), (hold, "s3:PutObjectLegalHold")):
        if asked:
            call.authorize(action, f"arn:aws:s3:::{home.name}/{request['Key']}", _conditions(request))
    if mode:
        meta["lock"] = _retention(call, mode, until, "x-amz-object-lock-retain-until-date")
    elif default := (home.settings["ObjectLock"].get("Rule") or {}).get("DefaultRetention"):
        days = default.get("Days") or 365 * default["Years"]
        meta["lock"] = {"mode": default["Mode"], "until": call.now() + days * _DAY_S}
    if hold:
        meta["hold"] = _held(hold)
    return meta


def _conditions(request: Mapping[str, Any]) -> dict[str, Any]:
    found = {"s3:object-lock-mode": request.get("ObjectLockMode"), "s3:object-lock-legal-hold": request.get("ObjectLockLegalHoldStatus")}
    return {key: value for key, value in found.items() if value}


def check_unlocked(call: Any, version: Version | None, bypass: bool) -> None:
    """Raises AccessDenied where a version must not go: under legal hold, or retained and not (by permission) bypassed."""
    if version is None:
        return
    if version.meta.get("hold"):
        raise _locked("a legal hold")
    lock = version.meta.get("lock")
    if not lock or lock["until"] <= call.now():
        return
    if lock["mode"] == "COMPLIANCE" or not bypass:
        raise _locked(f"{lock['mode']} retention")


def check_bypass(home: Bucket, request: Mapping[str, Any]) -> None:
    if request.get("BypassGovernanceRetention") is not None and not enabled(home):
        text = "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets."
        raise s3_error("InvalidArgument", text, ArgumentName="x-amz-bypass-governance-retention")


def may_bypass(call: Any, request: Mapping[str, Any], bucket: str, key: str) -> bool:
    """Whether governance retention is bypassed: asked for, and permitted (AccessDenied where it is not)."""
    if not request.get("BypassGovernanceRetention"):
        return False
    call.authorize("s3:BypassGovernanceRetention", f"arn:aws:s3:::{bucket}/{key}")
    return True


def _locked(what: str) -> ApiError:
    return s3_error("AccessDenied", f"Access Denied because object protected by object lock ({what}).")


def members(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What GET and HEAD tell of it."""
    told: dict[str, Any] = {}
    if lock := meta.get("lock"):
        told |= {"ObjectLockMode": lock["mode"], "ObjectLockRetainUntilDate": lock["until"]}
    if "hold" in meta:
        told["ObjectLockLegalHoldStatus"] = "ON" if meta["hold"] else "OFF"
    return told


# --- the bucket's configuration ----------------------------------------------------------------------


@api.operation
def put_object_lock_configuration(call, request):
    home, asked = owned_bucket(call, request), request.get("ObjectLockConfiguration") or {}
    if home.versioning != "Enabled":
        raise ApiError("InvalidBucketState", "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration", 409)
    if asked.get("ObjectLockEnabled") != "Enabled":
        raise s3_error("MalformedXML")
    document: dict[str, Any] = {"Enabled": True}
    if "Rule" in asked:
        document["Rule"] = {"DefaultRetention": _default(asked["Rule"].get("DefaultRetention"))}
    depot_of(call).index.change_settings(home.name, "ObjectLock", document)
    return {}


def _default(said: Mapping[str, Any] | None) -> dict[str, Any]:
    if not said or said.get("Mode") not in _MODES or ("Days" in said) == ("Years" in said):
        raise s3_error("MalformedXML")
    for unit, most in (("Days", _MOST_DAYS), ("Years", _MOST_YEARS)):
        if unit in said and said[unit] <= 0:
            raise ApiError("InvalidRetentionPeriod", "Default retention period must be a positive integer value.", 400)
        if unit in said and said[unit] > most:
            raise ApiError("InvalidRetentionPeriod", f"Default retention period too large: at most {most} {unit.lower()}.", 400)
    return {"Mode": said["Mode"], **{unit: said[unit] for unit in ("Days", "Years") if unit in said}}


@api.operation
def get_object_lock_configuration(call, request):
    home = owned_bucket(call, request)
    if not enabled(home):
        raise not_found("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket", home.name)
    rule = home.settings["ObjectLock"].get("Rule")
    return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled", **({"Rule": rule} if rule else {})}}


# --- retention and legal hold of versions --------------------------------------------------------------


@api.operation
def put_object_retention(call, request):
    home, asked = _lockable(call, request), request.get("Retention") or {}
    bypass = may_bypass(call, request, home.name, request["Key"])
    if not asked:
        wanted = None
    elif asked.get("Mode") not in _MODES or "RetainUntilDate" not in asked:
        raise s3_error("MalformedXML")
    else:
        wanted = _retention(call, asked["Mode"], asked["RetainUntilDate"], "RetainUntilDate")

    def change(meta: dict[str, Any]) -> None:
        have = meta.get("lock")
        weaker = have and have["until"] > call.now() and not (wanted and _is_no_weaker(have, wanted))
        if weaker and (have["mode"] == "COMPLIANCE" or not bypass):
            raise _locked(f"{have['mode']} retention")
        meta["lock"] = wanted

    _change(call, home, request, change)
    return {}


def _is_no_weaker(have: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return wanted["until"] >= have["until"] and wanted["mode"] == have["mode"]


@api.operation
def get_object_retention(call, request):
    home = _lockable(call, request)
    lock = depot_of(call).find(home.name, request["Key"], request.get("VersionId")).meta.get("lock")
    if not lock:
        raise _none()
    return {"Retention": {"Mode": lock["mode"], "RetainUntilDate": lock["until"]}}


@api.operation
def put_object_legal_hold(call, request):
    home = _lockable(call, request)
    held = _held((request.get("LegalHold") or {}).get("Status"))

    def change(meta: dict[str, Any]) -> None:
        meta["hold"] = held

    _change(call, home, request, change)
    return {}


@api.operation
def get_object_legal_hold(call, request):
    home = _lockable(call, request)
    meta = depot_of(call).find(home.name, request["Key"], request.get("VersionId")).meta
    if "hold" not in meta:
        raise _none()
    return {"LegalHold": {"Status": "ON" if meta["hold"] else "OFF"}}


def _lockable(call: Any, request: Mapping[str, Any]) -> Bucket:
    home = owned_bucket(call, request)
    if not enabled(home):
        raise s3_error("InvalidRequest", "Bucket is missing Object Lock Configuration")
    return home


def _retention(call: Any, mode: str, until: Any, said_in: str) -> dict[str, Any]:
    if mode not in _MODES:
        raise invalid_argument("Unknown wormMode directive.", "x-amz-object-lock-mode", mode)
    at = seconds(until)
    if at <= call.now():
        raise invalid_argument("The retain until date must be in the future!", said_in, until)
    return {"mode": mode, "until": at}


def _held(status: str | None) -> bool:
    if status not in ("ON", "OFF"):
        raise s3_error("MalformedXML")
    return status == "ON"


def _none() -> ApiError:
    return ApiError("NoSuchObjectLockConfiguration", "The specified object does not have a ObjectLock configuration", 404)


def _change(call: Any, home: Bucket, request: Mapping[str, Any], change: Any) -> None:
    depot = depot_of(call)
    found = depot.find_whole(home.name, request, "PUT")

    def work(tx: Tx) -> None:
        now = depot.index.version(found.bucket, found.key, found.version, tx)
        if now is None:
            raise no_such_key(found.bucket, found.key)
        meta = dict(now.meta)
        change(meta)
        depot.index.set_meta(tx, now, {name: value for name, value in meta.items() if value is not None})

    depot.index.db.grouped(work)
