"""Keys: create, describe, list, enable, disable, describe anew."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.services.kms import api
from modelyard.services.kms.access import of_request, the_key
from modelyard.services.kms.family import FAMILY, PREFIX, home, whole
from modelyard.services.kms.keyring import KEY, change, check_state, metadata, state_of
from modelyard.services.kms.making import first_material, key_arn
from modelyard.services.kms.managed import ensure_managed, managed_alias
from modelyard.services.kms.paging import page
from modelyard.services.kms.policy import check_customer, checked_policy, default_policy
from modelyard.services.kms.specs import ENCRYPT, SPECS, SYMMETRIC, Spec
from modelyard.services.kms.tags import checked_tags

MOST = 100_000


@api.operation
def create_key(call, request):
    spec, usage, origin = _checked(request)
    multi = bool(request.get("MultiRegion"))
    name = PREFIX + uuid.uuid4().hex if multi else str(uuid.uuid4())
    arn = key_arn(call.account, call.region, name)
    facts = {"kms:KeySpec": spec.name, "kms:KeyUsage": usage, "kms:KeyOrigin": origin, "kms:MultiRegion": multi}
    facts |= {"kms:CustomerMasterKeySpec": spec.name, "kms:CustomerMasterKeyUsage": usage, "kms:CallerAccount": call.principal.account}
    facts |= {"kms:MultiRegionKeyType": "PRIMARY"} if multi else {}
    call.authorize("kms:CreateKey", "*", {**of_request(call, request), **facts})
    tags = checked_tags(request.get("Tags") or [], {})
    if tags:
        call.authorize("kms:TagResource", "*", {**of_request(call, request), **facts})
    policy = json.dumps(default_policy(call.account), indent=2)
    if request.get("Policy"):
        policy = checked_policy(call, request["Policy"], arn, call.account, bool(request.get("BypassPolicyLockoutSafetyCheck")))
    check_room(call, call.region)
    made: dict[str, Any] = {}
    if origin != "EXTERNAL":
        made = {"Materials": [first_material(call.platform.kms.root, home(call.account, call.region, name), spec.name, call.now())]}
    own = {
        "Description": request.get("Description", ""),
        "KeyUsage": usage,
        "KeySpec": spec.name,
        "Origin": origin,
        "Manager": "CUSTOMER",
        "Enabled": True,
        "Policy": policy,
    }
    if multi:  # before the key: without one, the family is forgotten in an hour
        family = call.store.create(
            FAMILY, account=call.account, region="", name=name, arn=home(call.account, "", name), spec={"Primary": call.region}, state=made
        )
        owned: dict[str, Any] = {"owner": family.uid}
    else:
        owned = {"state": made}
    key = call.store.create(KEY, account=call.account, region=call.region, name=name, arn=arn, spec=own, tags=tags, **owned)
    return {"KeyMetadata": metadata(whole(call.store, key), call.now())}


@api.operation
def describe_key(call, request):
    ref = request["KeyId"]
    if (alias := managed_alias(ref, call.account, call.region)) is not None:
        ensure_managed(call.platform, call.platform.kms.root, call.account, call.region, alias)  # AWS makes it for whoever asks
    return {"KeyMetadata": metadata(the_key(call, ref, request), call.now())}


@api.operation
def list_keys(call, request):
    keys = call.store.list(KEY.kind, call.account, call.region, order_by="name")
    shown, more = page(keys, request, lambda key: key.name, 100)
    return {"Keys": [{"KeyId": key.name, "KeyArn": key.arn} for key in shown], **more}


@api.operation
def enable_key(call, request):
    _switch(call, request, True)
    return {}


@api.operation
def disable_key(call, request):
    _switch(call, request, False)
    return {}


@api.operation
def update_key_description(call, request):
    key = the_key(call, request["KeyId"], request, own=True)
    check_customer(key)

    def described(now: Any) -> dict[str, Any]:
        check_state(now, call.now(), "Enabled", "Disabled", "PendingImport")
        return {"Description": request["Description"]}

    change(call.store, key, described)
    return {}


# --- helpers -------------------------------------------------------------------------------------


def check_room(call: Any, region: str) -> None:
    if call.store.count(KEY.kind, call.account, region) >= MOST:
        raise api.error.LimitExceededException(f"An account may have at most {MOST} keys in a region.")


def _switch(call: Any, request: Mapping[str, Any], enabled: bool) -> None:
    key = the_key(call, request["KeyId"], request, own=True)
    check_customer(key)

    def switched(now: Any) -> dict[str, Any]:
        check_state(now, call.now(), "Enabled", "Disabled")
        return {"Enabled": enabled}

    if state_of(key, call.now()) != ("Enabled" if enabled else "Disabled"):
        change(call.store, key, switched)


def _checked(request: Mapping[str, Any]) -> tuple[Spec, str, str]:
    """(spec, usage, origin), or what KMS says against them."""
    name = request.get("KeySpec") or request.get("CustomerMasterKeySpec") or "SYMMETRIC_DEFAULT"
    if request.get("KeySpec") and request.get("CustomerMasterKeySpec"):
        raise validation("You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
    origin = request.get("Origin", "AWS_KMS")
    if request.get("CustomKeyStoreId") or request.get("XksKeyId") or origin not in ("AWS_KMS", "EXTERNAL"):
        raise api.error.UnsupportedOperationException("Modelyard has not built custom key stores; nothing was done.")
    spec = SPECS.get(name)
    if spec is None:
        raise api.error.UnsupportedOperationException(f"Modelyard has not built keys of spec {name}; nothing was done.")
    usage = request.get("KeyUsage")
    if usage is None:
        if spec.family != SYMMETRIC:
            raise validation("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
        usage = ENCRYPT
    if usage not in spec.algorithms:
        raise validation(f"KeyUsage {usage} is not compatible with KeySpec {name}")
    return spec, usage, origin
