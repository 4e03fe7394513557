"""Finding the key that a request means, and whether the caller may use it.

The operations ask here, not the gateway: which key it is can stand in an alias or in a ciphertext, and most condition keys are
facts of that key. Source: "Condition keys for AWS KMS" in the KMS developer guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Store
from modelyard.services.kms import api
from modelyard.services.kms.aliases import ALIAS, alias_names
from modelyard.services.kms.family import configuration, is_multi_region, whole
from modelyard.services.kms.keyring import KEY, no_key

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z|mrk-[0-9a-f]{32}\Z")
_ARN = re.compile(r"arn:aws:kms:([^:]*):(\d{12}):(key|alias)/(.+)\Z")


def find_key(store: Store, account: str, region: str, ref: str) -> Record:
    """The whole key of an id, ARN, alias name or alias ARN. Raises NotFoundException in KMS's words."""
    if ref.startswith("arn:"):
        found = _ARN.match(ref)
        if found is None or found[1] != region:
            raise api.error.NotFoundException(f"Invalid arn {found[1] if found else ref}")
        account, ref = found[2], found[4] if found[3] == "key" else f"alias/{found[4]}"
    if ref.startswith("alias/"):
        alias = store.get(ALIAS.kind, account, region, ref)
        if alias is None:
            raise api.error.NotFoundException(f"Alias arn:aws:kms:{region}:{account}:{ref} is not found.")
        ref = alias.spec["TargetKeyId"]
    elif not _ID.match(ref):
        raise api.error.NotFoundException(f"Invalid keyId '{ref}'")
    key = store.get(KEY.kind, account, region, ref)
    if key is None:
        raise no_key(f"arn:aws:kms:{region}:{account}:key/{ref}")
    return whole(store, key)


def is_alias(ref: str) -> bool:
    return ref.startswith("alias/") or ":alias/" in ref


def the_key(call: Call, ref: str, request: Mapping[str, Any], *, own: bool = False, action: str | None = None, **more: Any) -> Record:
    """The key that `ref` means, once the caller may do this operation (or `action`) with it. `own`: managing it takes the key's
    id or ARN, no alias, and its own account."""
    if own and is_alias(ref):
        raise api.error.NotFoundException(f"Invalid keyId '{ref}': this operation takes a key ID or key ARN, not an alias.")
    key = find_key(call.store, call.account, call.region, ref)
    condition = of_request(call, request)
    if is_alias(ref):
        condition["kms:RequestAlias"] = "alias/" + ref.partition("alias/")[2]
    authorize(call, key, action or call.operation, {**condition, **more})
    if own and key.account != call.account:
        raise api.error.NotFoundException(f"Key '{key.arn}' does not exist")
    for token in request.get("GrantTokens") or ():
        if call.store.get("kms-grant", token.partition(".")[0], call.region, token.partition(".")[2]) is None:
            raise api.error.InvalidGrantTokenException("The grant token is not valid.")
    return key


def authorize(call: Call, key: Record, action: str, condition: Mapping[str, Any]) -> None:
    """Raises AccessDenied, in the dialect of the service that the caller talks to."""
    facts = Lazily(lambda: {"kms:CallerAccount": call.principal.account or None, **of_key(call.store, key), **call.condition, **condition})
    call.platform.identity.require(call, f"kms:{action}", key.arn, facts)


class Lazily(Mapping[str, Any]):
    """Condition keys that are computed when a policy first reads one: most policies read none, and this is on the path of every object."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make

    @cached_property
    def _all(self) -> dict[str, Any]:
        return self._make()

    def __getitem__(self, key: str) -> Any:
        return self._all[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def of_key(store: Store, key: Record) -> dict[str, Any]:
    return {
        "kms:KeySpec": key.spec["KeySpec"],
        "kms:CustomerMasterKeySpec": key.spec["KeySpec"],
        "kms:KeyUsage": key.spec["KeyUsage"],
        "kms:CustomerMasterKeyUsage": key.spec["KeyUsage"],
        "kms:KeyOrigin": key.spec["Origin"],
        "kms:MultiRegion": is_multi_region(key),
        **({"kms:MultiRegionKeyType": configuration(key)["MultiRegionKeyType"]} if is_multi_region(key) else {}),
        "kms:ResourceAliases": alias_names(store, key) or None,
    }


_OF_REQUEST = {
    "EncryptionAlgorithm": "kms:EncryptionAlgorithm",
    "SigningAlgorithm": "kms:SigningAlgorithm",
    "MessageType": "kms:MessageType",
    "MacAlgorithm": "kms:MacAlgorithm",
    "KeyAgreementAlgorithm": "kms:KeyAgreementAlgorithm",
    "EncapsulationAlgorithm": "kms:EncapsulationAlgorithm",
    "KeyPairSpec": "kms:DataKeyPairSpec",
    "Operations": "kms:GrantOperations",
    "GranteePrincipal": "kms:GranteePrincipal",
    "RetiringPrincipal": "kms:RetiringPrincipal",
    "PendingWindowInDays": "kms:ScheduleKeyDeletionPendingWindowInDays",
    "RotationPeriodInDays": "kms:RotationPeriodInDays",
    "BypassPolicyLockoutSafetyCheck": "kms:BypassPolicyLockoutSafetyCheck",
    "WrappingAlgorithm": "kms:WrappingAlgorithm",
    "WrappingKeySpec": "kms:WrappingKeySpec",
    "ExpirationModel": "kms:ExpirationModel",
    "ValidTo": "kms:ValidTo",
}


def of_request(call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: request[member] for member, key in _OF_REQUEST.items() if request.get(member) is not None}
    if call.operation in ("CreateGrant", "ListGrants", "RevokeGrant"):
        found["kms:GrantIsForAWSResource"] = False  # a service that makes a grant in a caller's name would say so
    bound = {kind: pairs for kind, pairs in (request.get("Constraints") or {}).items() if kind.startswith("EncryptionContext") and pairs}
    for kind, pairs in bound.items():
        found |= {"kms:GrantConstraintType": kind, **of_context(pairs)}
    if request.get("Tags") and call.operation in ("CreateKey", "TagResource"):
        found["aws:TagKeys"] = [tag["TagKey"] for tag in request["Tags"]]
        found |= {f"aws:RequestTag/{tag['TagKey']}": tag["TagValue"] for tag in request["Tags"]}
    if request.get("TagKeys"):
        found["aws:TagKeys"] = list(request["TagKeys"])
    return found | of_context(request.get("EncryptionContext"))


def of_context(context: Mapping[str, str] | None) -> dict[str, Any]:
    if not context:
        return {}
    pairs = {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
    return {"kms:EncryptionContextKeys": list(context), **pairs, **{exact_key(name): value for name, value in context.items()}}


def exact_key(name: str) -> str:
    """The condition key of grants for a member of the encryption context: names of condition keys have no case, those of contexts do."""
    return f"kms:EncryptionContextExactly:{name.encode().hex()}"


def through(call: Call, region: str) -> dict[str, Any]:
    """Condition keys of a call that another service makes in the caller's name."""
    host = f"{call.service}.{region}.amazonaws.com"
    return {"kms:ViaService": host, "aws:ViaAWSService": True, "aws:CalledVia": [f"{call.service}.amazonaws.com"]}


def check_dry(request: Mapping[str, Any]) -> None:
    """Called as the last thing before an operation acts: with DryRun it ends here, by the error that means success."""
    if request.get("DryRun"):
        raise api.error.DryRunOperationException("The request would have succeeded, but the DryRun option is set.")
