"""Access control lists: what a grant is, how requests say them, and what they permit. Pure but for finding accounts.

Source: "Access control list (ACL) overview" of the S3 user guide (grantees, canned ACLs, mapping of permissions to actions) and the
PutObjectAcl and PutBucketAcl pages of the API reference. A list is kept as `[{"Permission", "ID" and "Name" | "URI"}, …]`; None
stands for the private one, in which the owner alone has FULL_CONTROL.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.s3.errors import invalid_argument, s3_error
from modelyard.services.s3.index import Bucket, Version

Grant = dict[str, str]

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"
PERMISSIONS = ("FULL_CONTROL", "WRITE", "WRITE_ACP", "READ", "READ_ACP")
MOST_GRANTS = 100
ANONYMOUS_ID = "65a011a29cdf8ec533ec3d1ccaae921c"
"""The canonical user that owns what unsigned callers write, as in S3."""

_HEADERS = {
    "GrantRead": "READ",
    "GrantWrite": "WRITE",
    "GrantReadACP": "READ_ACP",
    "GrantWriteACP": "WRITE_ACP",
    "GrantFullControl": "FULL_CONTROL",
}
_CANNED: dict[str, list[tuple[str, str]]] = {
    "private": [],
    "public-read": [("READ", ALL_USERS)],
    "public-read-write": [("READ", ALL_USERS), ("WRITE", ALL_USERS)],
    "authenticated-read": [("READ", AUTHENTICATED)],
    "aws-exec-read": [],
    "log-delivery-write": [("WRITE", LOG_DELIVERY), ("READ_ACP", LOG_DELIVERY)],
    "bucket-owner-read": [],
    "bucket-owner-full-control": [],
}
_GRANTEE = re.compile(r'\s*(id|uri|emailaddress)\s*=\s*"?([^",]*)"?\s*(?:,|\Z)', re.IGNORECASE)

BUCKET_ACTIONS = {
    "READ": ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"],
    "WRITE": ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
    "READ_ACP": ["s3:GetBucketAcl"],
    "WRITE_ACP": ["s3:PutBucketAcl"],
}
OBJECT_ACTIONS = {
    "READ": ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"],
    "READ_ACP": ["s3:GetObjectAcl", "s3:GetObjectVersionAcl"],
    "WRITE_ACP": ["s3:PutObjectAcl", "s3:PutObjectVersionAcl"],
}


def canonical_id(account: str) -> str:
    """The canonical user of an account: 64 hex digits, the same for the same account for ever."""
    return hashlib.sha256(f"canonical-user:{account}".encode()).hexdigest() if account else ANONYMOUS_ID


def user(account: str) -> Grant:
    """An account as owner or grantee."""
    return {"ID": canonical_id(account), "DisplayName": account or "anonymous"}


# --- ownership -----------------------------------------------------------------------------------


def ownership(home: Bucket) -> str:
    """BucketOwnerEnforced (no ACLs; the default), BucketOwnerPreferred or ObjectWriter."""
    said = home.settings.get("Ownership", "BucketOwnerEnforced")
    return "ObjectWriter" if said == "none" else said


def enforced(home: Bucket) -> bool:
    return ownership(home) == "BucketOwnerEnforced"


def owner_account(home: Bucket, version: Version) -> str:
    """Whose an object is: the writer's where the bucket leaves it to him ("" for an unsigned one), else the bucket's owner's."""
    return home.account if enforced(home) else version.meta.get("owner", home.account)


# --- what a request says ---------------------------------------------------------------------------


def of_request(call: Any, request: Mapping[str, Any], owner: str, home_account: str) -> list[Grant] | None:
    """The list that canned name, grant headers or body of a request mean; None: it says nothing of it (or the private one)."""
    headers = {permission: request[name] for name, permission in _HEADERS.items() if request.get(name)}
    canned, document = request.get("ACL"), request.get("AccessControlPolicy")
    if canned and headers:
        raise s3_error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    if document is not None and (canned or headers):
        raise ApiError("UnexpectedContent", "This request does not support content", 400)
    if document is not None:
        return _of_document(call, document, owner)
    if headers:
        return [grant for permission, text in headers.items() for grant in _of_header(call, permission, text)]
    return _of_canned(canned, owner, home_account) if canned else None


def said(request: Mapping[str, Any]) -> bool:
    """Whether a request speaks of an ACL at all."""
    return bool(request.get("ACL") or request.get("AccessControlPolicy") or any(request.get(name) for name in _HEADERS))


def _of_canned(name: str, owner: str, home_account: str) -> list[Grant] | None:
    if name not in _CANNED:
        raise invalid_argument("", "x-amz-acl", name)
    grants = [_to_account("FULL_CONTROL", owner), *({"Permission": p, "URI": uri} for p, uri in _CANNED[name])]
    if owner != home_account and name == "bucket-owner-read":
        grants.append(_to_account("READ", home_account))
    if owner != home_account and name == "bucket-owner-full-control":
        grants.append(_to_account("FULL_CONTROL", home_account))
    return grants if len(grants) > 1 else None


def _to_account(permission: str, account: str) -> Grant:
    return {"Permission": permission, "ID": canonical_id(account), "Name": account or "anonymous"}


def _of_header(call: Any, permission: str, text: str) -> list[Grant]:
    found, at = [], 0
    while at < len(text):
        part = _GRANTEE.match(text, at)
        if part is None:
            raise invalid_argument("Argument format not recognized", f"x-amz-grant-{permission.lower().replace('_', '-')}", text)
        kind, value = part.groups()
        found.append(_grant(call, permission, {"id": "ID", "uri": "URI", "emailaddress": "EmailAddress"}[kind.lower()], value))
        at = part.end()
    return found


def _of_document(call: Any, document: Mapping[str, Any], owner: str) -> list[Grant]:
    said_owner = (document.get("Owner") or {}).get("ID")
    if not said_owner or not isinstance(document.get("Grants"), list):
        raise _malformed()
    if said_owner != canonical_id(owner):
        raise s3_error("AccessDenied")
    grants = document["Grants"]
    if len(grants) > MOST_GRANTS:
        raise _malformed()
    found = []
    for one in grants:
        grantee, permission = one.get("Grantee") or {}, one.get("Permission")
        named = [(member, grantee[member]) for member in ("ID", "URI", "EmailAddress") if grantee.get(member)]
        if permission not in PERMISSIONS or not named:
            raise _malformed()
        found.append(_grant(call, permission, *named[0]))
    return found


def _grant(call: Any, permission: str, member: str, value: str) -> Grant:
    if member == "EmailAddress":  # since 2025-10-01
        raise ApiError("MethodNotAllowed", "Email Grantee ACLs are no longer supported: name the canonical user ID.", 405)
    if member == "URI":
        if value not in (ALL_USERS, AUTHENTICATED, LOG_DELIVERY):
            raise invalid_argument("Invalid group uri", "uri", value)
        return {"Permission": permission, "URI": value}
    name = "anonymous" if value == ANONYMOUS_ID else account_of(call, value)
    if name is None:
        raise invalid_argument("Invalid id", "CanonicalUser/ID", value)
    return {"Permission": permission, "ID": value, "Name": name}


def account_of(call: Any, canonical: str) -> str | None:
    """The account of a canonical user; None: there is none."""
    return next((one.name for one in call.store.list("iam-account") if canonical_id(one.name) == canonical), None)


def with_acl() -> ApiError:
    return ApiError(
        "InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting", 400
    )


def _malformed() -> ApiError:
    return ApiError("MalformedACLError", "The XML you provided was not well-formed or did not validate against our published schema", 400)


# --- what it permits -------------------------------------------------------------------------------


def is_public(grants: list[Grant] | None) -> bool:
    """Whether everybody, or everybody with an AWS account, gets something."""
    return any(grant.get("URI") in (ALL_USERS, AUTHENTICATED) for grant in grants or ())


def statements(grants: list[Grant] | None, actions: Mapping[str, list[str]], principal: Any, ignore_public: bool) -> list[dict[str, Any]]:
    """The grants that concern this caller, as statements of a resource policy."""
    found = []
    for grant in grants or ():
        if "URI" in grant:
            if ignore_public or not (grant["URI"] == ALL_USERS or (grant["URI"] == AUTHENTICATED and principal.kind != "anonymous")):
                continue
            who: Any = "*"
        elif principal.account and grant["ID"] == canonical_id(principal.account):
            who = {"AWS": principal.account}
        elif not principal.account and grant["ID"] == ANONYMOUS_ID:
            who = "*"
        else:
            continue
        permits = grant["Permission"]
        allowed = [action for name, some in actions.items() if permits in (name, "FULL_CONTROL") for action in some]
        if allowed:
            found.append({"Effect": "Allow", "Principal": who, "Action": allowed, "Resource": "*"})
    return found


def told(owner: str, grants: list[Grant] | None) -> dict[str, Any]:
    """The members of GetBucketAcl and GetObjectAcl."""
    mine = user(owner)
    if grants is None:
        grants = [_to_account("FULL_CONTROL", owner)]
    grants = sorted(grants, key=lambda grant: "URI" not in grant)  # groups first, else as they were put
    return {"Owner": mine, "Grants": [{"Grantee": _grantee(grant), "Permission": grant["Permission"]} for grant in grants]}


def _grantee(grant: Grant) -> dict[str, str]:
    if "URI" in grant:
        return {"Type": "Group", "URI": grant["URI"]}
    return {"Type": "CanonicalUser", "ID": grant["ID"], "DisplayName": grant["Name"]}
