"""Grants: permission to use one key, given by an operation instead of a policy. Source: "Grants in AWS KMS"."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.lifecycle import static
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.iam.present import is_there
from modelyard.services.kms import api
from modelyard.services.kms.access import check_dry, exact_key, find_key, the_key
from modelyard.services.kms.keyring import check_state, spec_of
from modelyard.services.kms.paging import page
from modelyard.services.kms.specs import AGREE, ENCAPSULATE, ENCRYPT, MAC, SIGN, SYMMETRIC

GRANT = static("kms-grant")
MOST = 50_000
_ALWAYS = {"CreateGrant", "RetireGrant", "DescribeKey"}
_UNBOUND = {"RetireGrant", "DescribeKey"}
_CONTEXTS = ("EncryptionContextSubset", "EncryptionContextEquals")
_KEY_DATA = {"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"}
_OF_USAGE = {
    ENCRYPT: {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"},
    SIGN: {"Sign", "Verify", "GetPublicKey"},
    MAC: {"GenerateMac", "VerifyMac"},
    AGREE: {"DeriveSharedSecret", "GetPublicKey"},
    ENCAPSULATE: {"Encapsulate", "Decapsulate", "GetPublicKey"},
}


@api.operation
def create_grant(call, request):
    """The same grant twice (with a name) is one grant."""
    key = the_key(call, request["KeyId"], request)
    check_state(key, call.now())
    if request.get("GranteeServicePrincipal") or request.get("RetiringServicePrincipal"):
        raise api.error.UnsupportedOperationException("Modelyard has not built grants to service principals; nothing was done.")
    grantee, retiring = request.get("GranteePrincipal"), request.get("RetiringPrincipal")
    if grantee is None:
        raise validation("A GranteePrincipal is required.")
    for principal in filter(None, (grantee, retiring)):
        if not is_there(call.store, principal):
            raise api.error.InvalidArnException(f"ARN does not refer to a valid principal: {principal}")
    operations = list(dict.fromkeys(request["Operations"]))
    _check_operations(key, operations)
    constraints = {kind: wanted for kind, wanted in (request.get("Constraints") or {}).items() if wanted}
    contexts = [kind for kind in constraints if kind in _CONTEXTS]
    if len(contexts) > 1 or (contexts and spec_of(key).family != SYMMETRIC):
        raise validation("A grant takes one of EncryptionContextSubset and EncryptionContextEquals, for a symmetric encryption key.")
    asked = {
        "Name": request.get("Name", ""),
        "Operations": operations,
        "GranteePrincipal": grantee,
        "RetiringPrincipal": retiring,
        "Constraints": constraints,
        "IssuingAccount": f"arn:aws:iam::{call.principal.account}:root",
    }
    check_dry(request)
    have = call.store.children(key.uid, GRANT.kind)
    same = next((one for one in have if asked["Name"] and one.spec == asked), None)
    if same is None and len(have) >= MOST:
        raise api.error.LimitExceededException(f"A key may have at most {MOST} grants.")
    grant = same or call.store.create(
        GRANT,
        account=key.account,
        region=key.region,
        name=(name := secrets.token_hex(32)),
        arn=f"{key.arn}#{name}",
        spec=asked,
        owner=key.uid,
    )
    return {"GrantId": grant.name, "GrantToken": token_of(grant)}


@api.operation
def list_grants(call, request):
    key = the_key(call, request["KeyId"], request)
    grants = call.store.children(key.uid, GRANT.kind)
    if wanted := request.get("GrantId"):
        grants = [one for one in grants if one.name == wanted]
    if wanted := request.get("GranteePrincipal"):
        grants = [one for one in grants if one.spec["GranteePrincipal"] == wanted]
    if request.get("GranteeServicePrincipal"):
        grants = []
    return _told(grants, request, {key.uid: key})


@api.operation
def list_retirable_grants(call, request):
    principal = request.get("RetiringPrincipal")
    found = [
        one
        for one in call.store.list(GRANT.kind, call.account, call.region, order_by="name")
        if principal and one.spec["RetiringPrincipal"] == principal
    ]
    return _told(found, request, {one.uid: one for one in call.store.by_uids(list({g.owner for g in found if g.owner}))})


@api.operation
def revoke_grant(call, request):
    key = the_key(call, request["KeyId"], request)
    grant = _grant(call, key, request["GrantId"])
    check_dry(request)
    _remove(call, grant)
    return {}


@api.operation
def retire_grant(call, request):
    """By who was named to retire it, by its grantee where the grant lets it, by the key's root, or by whom a policy lets do it."""
    token = request.get("GrantToken")
    if (token is None) == (request.get("GrantId") is None or request.get("KeyId") is None):
        raise validation("Give either a GrantToken, or a GrantId and a KeyId.")
    if token is not None:
        account, _, name = token.partition(".")
        grant = call.store.get(GRANT.kind, account, call.region, name)
        key = call.store.by_uid(grant.owner) if grant is not None and grant.owner else None
        if grant is None or key is None:
            raise api.error.InvalidGrantTokenException("The grant token is not valid.")
    else:
        key = find_key(call.store, call.account, call.region, request["KeyId"])
        grant = _grant(call, key, request["GrantId"])
    retiring = grant.spec["RetiringPrincipal"]
    is_named = retiring is not None and retiring in (call.principal.arn, call.principal.role_arn)
    if not is_named and not (call.principal.kind == "root" and call.principal.account == key.account):
        the_key(call, key.arn, request)  # the grant's own statement lets a grantee with RetireGrant do it
    check_dry(request)
    _remove(call, grant)
    return {}


# --- helpers -------------------------------------------------------------------------------------


def statement_of(grant: Record) -> list[dict[str, Any]]:
    """The grant as statements of a policy."""
    spec = grant.spec
    base = {"Sid": f"grant {grant.name[:12]}", "Effect": "Allow", "Principal": {"AWS": spec["GranteePrincipal"]}, "Resource": "*"}
    source = {"ArnLike": {"aws:SourceArn": spec["Constraints"]["SourceArn"]}} if "SourceArn" in spec["Constraints"] else {}
    equal, every = _of_contexts(spec["Constraints"])
    bound = {**source, **({"StringEquals": equal} if equal else {}), **({"ForAllValues:StringEquals": every} if every else {})}
    found = []
    for names, condition in (
        ([name for name in spec["Operations"] if name in _UNBOUND], source),
        ([name for name in spec["Operations"] if name not in _ALWAYS], bound),
        (["CreateGrant"] if "CreateGrant" in spec["Operations"] else [], _of_child(spec, source, equal, every)),
    ):
        if names:
            found.append({**base, "Action": [f"kms:{name}" for name in names], **({"Condition": condition} if condition else {})})
    return found


def _of_contexts(constraints: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """What the encryption context must have (by exact names), and what it may have at all."""
    pairs = next((constraints[kind] for kind in _CONTEXTS if kind in constraints), {})
    equal = {exact_key(name): _literal(value) for name, value in pairs.items()}
    return equal, {"kms:EncryptionContextKeys": [_literal(name) for name in pairs]} if "EncryptionContextEquals" in constraints else {}


def _of_child(spec: Mapping[str, Any], source: dict[str, Any], equal: dict[str, str], every: dict[str, list[str]]) -> dict[str, Any]:
    """A grant made with a grant gives no more operations than it, and binds the encryption context at least as tightly."""
    exactly = {"kms:GrantConstraintType": "EncryptionContextEquals"} if every else {}
    same = {"StringEquals": {**equal, **exactly}} if equal else {}
    return {**source, **same, "ForAllValues:StringEquals": {**every, "kms:GrantOperations": list(spec["Operations"])}}


def _literal(text: str) -> str:
    """As policies write a dollar sign that begins no variable."""
    return text.replace("${", "${$}{")


def _check_operations(key: Record, operations: list[str]) -> None:
    possible = _ALWAYS | _OF_USAGE[key.spec["KeyUsage"]]
    if spec_of(key).family == SYMMETRIC:
        possible = possible | _KEY_DATA
    elif key.spec["KeyUsage"] == ENCRYPT:
        possible = possible | {"GetPublicKey"}
    wrong = [name for name in operations if name not in possible]
    if wrong or not operations:
        raise validation(
            f"Grant operations {wrong} are not valid for a key with usage {key.spec['KeyUsage']} and spec {key.spec['KeySpec']}."
        )


def token_of(grant: Record) -> str:
    return f"{grant.account}.{grant.name}"


def _grant(call: Any, key: Record, name: str) -> Record:
    grant = call.store.get(GRANT.kind, key.account, key.region, name)
    if grant is None or grant.owner != key.uid:
        raise api.error.NotFoundException(f"Grant ID {name} not found")
    return grant


def _remove(call: Any, grant: Record) -> None:
    try:
        call.store.delete(grant)
    except Moved:
        raise api.error.NotFoundException(f"Grant ID {grant.name} not found") from None


def _told(grants: list[Record], request: Mapping[str, Any], keys: Mapping[str, Record]) -> dict[str, Any]:
    shown, more = page(grants, request, lambda one: one.name)
    return {
        "Grants": [
            {
                "KeyId": keys[grant.owner].arn if grant.owner in keys else "",
                "GrantId": grant.name,
                "CreationDate": grant.created_at,
                **{name: value for name, value in grant.spec.items() if value},
            }
            for grant in shown
        ],
        **more,
    }
