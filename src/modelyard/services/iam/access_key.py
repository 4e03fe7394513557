"""Access keys of users. The secret is answered once; it is kept sealed only (`credentials.py`)."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.identity import Credential, Principal
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api, denial, keys, names
from modelyard.services.iam.checks import save_status
from modelyard.services.iam.pages import page
from modelyard.services.iam.user import find_user, own_name

MAX_KEYS = 2


def _find_key(call: Call, user: Record, key_id: str) -> Record:
    record = call.store.get(names.ACCESS_KEY.kind, call.account, names.GLOBAL, key_id)
    if record is None or record.owner != user.uid:
        raise api.error.NoSuchEntityException(f"The Access Key with id {key_id} cannot be found.")
    return record


def _describe(user: Record, record: Record) -> dict[str, Any]:
    return {"UserName": user.name, "AccessKeyId": record.name, "Status": record.spec["Status"], "CreateDate": record.created_at}


@api.operation
def create_access_key(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, own_name(call, request))
    if len(call.store.children(user.uid, names.ACCESS_KEY.kind)) >= MAX_KEYS:
        raise api.error.LimitExceededException(f"Cannot exceed quota for AccessKeysPerUser: {MAX_KEYS}")
    key_id, secret = keys.access_key(keys.LONG_TERM, call.account), keys.secret_key()
    principal = Principal("user", call.account, user.arn, user.spec["UserId"], key_id)
    call.platform.identity.credentials.put(Credential(key_id, secret, principal))
    record = call.store.create(
        names.ACCESS_KEY,
        account=call.account,
        region=names.GLOBAL,
        name=key_id,
        arn=f"{user.arn}/{key_id}",
        spec={"Status": "Active", "UserName": user.name},
        owner=user.uid,
    )
    return {"AccessKey": {**_describe(user, record), "SecretAccessKey": secret}}


@api.operation
def list_access_keys(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    if not request.get("UserName") and call.principal.kind == "root":
        return {"AccessKeyMetadata": [], "IsTruncated": False}
    user = find_user(call, own_name(call, request))
    shown, more = page(call.store.children(user.uid, names.ACCESS_KEY.kind), request, lambda record: record.name)
    return {"AccessKeyMetadata": [_describe(user, record) for record in shown], **more}


@api.operation
def update_access_key(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, own_name(call, request))
    save_status(call, lambda: _find_key(call, user, request["AccessKeyId"]), request["Status"])
    return {}


@api.operation
def delete_access_key(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, own_name(call, request))
    call.store.delete(_find_key(call, user, request["AccessKeyId"]))
    call.platform.identity.credentials.remove(request["AccessKeyId"])
    return {}


@api.operation
def get_access_key_last_used(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Needs the permission on the key's user, whom the request does not name. Of a key that never was used AWS tells N/A."""
    key_id = request["AccessKeyId"]
    record = call.store.get(names.ACCESS_KEY.kind, call.account, names.GLOBAL, key_id)
    user = call.store.by_uid(record.owner or "") if record is not None else None
    call.authorize("iam:GetAccessKeyLastUsed", user.arn if user is not None else "*")
    if user is None:
        raise denial.error(
            "iam", f"User: {call.principal.arn} is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key {key_id}"
        )
    use = call.platform.identity.last_used.last(key_id)
    told: dict[str, Any] = {"ServiceName": "N/A", "Region": "N/A"}
    if use is not None:
        told = {"LastUsedDate": use.at, "ServiceName": use.service, "Region": use.region}
    return {"UserName": user.name, "AccessKeyLastUsed": told}
