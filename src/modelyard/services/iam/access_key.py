"""Access keys of users and of the root user. The secret is answered once; it is kept sealed only (`credentials.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from modelyard.kernel.identity import Credential, Principal
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import account, api, denial, keys, names
from modelyard.services.iam.checks import save, save_status
from modelyard.services.iam.pages import page
from modelyard.services.iam.user import find_user, is_root_itself, own_name

MAX_KEYS, PLACE_HELD_S = 2, 60.0


@dataclass(frozen=True)
class Holder:
    """Whose keys a request is about: a user's, or those of the account's root user, which have no UserName. `uid` owns their records."""

    uid: str
    arn: str
    principal: Principal
    name: str | None
    read: Callable[[], Record]

    def describe(self, record: Record) -> dict[str, Any]:
        shown = {"AccessKeyId": record.name, "Status": record.spec["Status"], "CreateDate": record.created_at}
        return {**({"UserName": self.name} if self.name else {}), **shown}


def _holder(call: Call, request: dict[str, Any]) -> Holder:
    if is_root_itself(call, request):
        arn = names.root_arn(call.account)
        return Holder(call.account, arn, Principal("root", call.account, arn, call.account), None, lambda: account.of(call))
    user = find_user(call, own_name(call, request))
    return Holder(
        user.uid, user.arn, Principal("user", call.account, user.arn, user.spec["UserId"]), user.name, lambda: find_user(call, user.name)
    )


def _find_key(call: Call, holder: Holder, key_id: str) -> Record:
    record = call.store.get(names.ACCESS_KEY.kind, call.account, names.GLOBAL, key_id)
    if record is None or record.owner != holder.uid:
        raise api.error.NoSuchEntityException(f"The Access Key with id {key_id} cannot be found.")
    return record


@api.operation
def create_access_key(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    holder = _holder(call, request)
    key_id, secret = keys.access_key(keys.LONG_TERM, call.account), keys.secret_key()
    _take_place(call, holder, key_id)
    call.platform.identity.credentials.put(Credential(key_id, secret, replace(holder.principal, access_key=key_id)))
    record = call.store.create(
        names.ACCESS_KEY,
        account=call.account,
        region=names.GLOBAL,
        name=key_id,
        arn=f"{holder.arn}/{key_id}",
        spec={"Status": "Active", "UserName": holder.name},
        owner=holder.uid,
    )
    return {"AccessKey": {**holder.describe(record), "SecretAccessKey": secret}}


@api.operation
def list_access_keys(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    holder = _holder(call, request)
    shown, more = page(call.store.children(holder.uid, names.ACCESS_KEY.kind), request, lambda record: record.name)
    return {"AccessKeyMetadata": [holder.describe(record) for record in shown], **more}


@api.operation
def update_access_key(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    holder = _holder(call, request)
    save_status(call, lambda: _find_key(call, holder, request["AccessKeyId"]), request["Status"])
    return {}


@api.operation
def delete_access_key(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    holder, key_id = _holder(call, request), request["AccessKeyId"]
    call.store.delete(_find_key(call, holder, key_id))
    call.platform.identity.credentials.remove(key_id)
    save(call, holder.read, lambda record: {"KeyPlaces": {k: at for k, at in record.spec.get("KeyPlaces", {}).items() if k != key_id}})
    return {}


def _take_place(call: Call, holder: Holder, key_id: str) -> None:
    """A place for a key that is about to be made, in the holder's record: of calls at the same time no more than MAX_KEYS get one.
    A place whose key never came (a crash) is free again soon."""

    def change(record: Record) -> dict[str, Any]:
        have = {key.name for key in call.store.children(holder.uid, names.ACCESS_KEY.kind)}
        places = {k: at for k, at in record.spec.get("KeyPlaces", {}).items() if k in have or 0 <= call.now() - at < PLACE_HELD_S}
        if len(have | set(places)) >= MAX_KEYS:
            raise api.error.LimitExceededException(f"Cannot exceed quota for AccessKeysPerUser: {MAX_KEYS}")
        return {"KeyPlaces": {**places, key_id: call.now()}}

    save(call, holder.read, change)


@api.operation
def get_access_key_last_used(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Needs the permission on the key's user, whom the request does not name. Of a key that never was used AWS tells N/A."""
    key_id = request["AccessKeyId"]
    record = call.store.get(names.ACCESS_KEY.kind, call.account, names.GLOBAL, key_id)
    user = call.store.by_uid(record.owner or "") if record is not None else None
    of_root = record is not None and record.owner == call.account
    call.authorize("iam:GetAccessKeyLastUsed", user.arn if user is not None else "*")
    if user is None and not of_root:
        raise denial.error(
            "iam", f"User: {call.principal.arn} is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key {key_id}"
        )
    use = call.platform.identity.last_used.last(key_id)
    told: dict[str, Any] = {"ServiceName": "N/A", "Region": "N/A"}
    if use is not None:
        told = {"LastUsedDate": use.at, "ServiceName": use.service, "Region": use.region}
    return {**({"UserName": user.name} if user is not None else {}), "AccessKeyLastUsed": told}
