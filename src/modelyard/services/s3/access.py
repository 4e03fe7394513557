"""What S3 tells the IAM engine about a bucket or an object: its policy, its ACLs as statements, and whose it is.

Source: "How Amazon S3 authorizes a request" of the S3 user guide. The bucket's policy speaks for its owner; it grants nothing on
objects that another account owns, though what it denies is denied for these too. ACLs count where ownership is not enforced.
"""

from __future__ import annotations

import json
from typing import Any

from modelyard.services.s3 import acl
from modelyard.services.s3.depot import depot_of
from modelyard.services.s3.errors import no_such_bucket
from modelyard.services.s3.index import Bucket, Version

Document = dict[str, Any]

_OF_BUCKET_OWNER = ("s3:putobject", "s3:deleteobject", "s3:deleteobjectversion", "s3:abortmultipartupload", "s3:listmultipartuploadparts",
                    "s3:bypassgovernanceretention", "s3:putobjectretention", "s3:putobjectlegalhold")  # fmt: skip
"""Of the actions on keys, those that are about the bucket's right to a key, not about an object that is there."""


_MAKING = ("PutObject", "CopyObject", "CreateMultipartUpload")
"""Operations whose ACL and tags are those of an object that is not there yet."""


def resource_policy(call: Any, request: dict[str, Any]) -> tuple[Document | None, str | None]:
    """(policy document or None, owning account) of what a request is about; `request["Action"]` is the action asked for. Of a
    bucket that is not there: NoSuchBucket for who asks S3, (None, None) for other services."""
    if call.operation == "CreateBucket" or request.get("Bucket", "*") == "*":
        return None, None  # a name is asked for, not somebody's bucket: taken ones answer BucketAlreadyExists
    home = depot_of(call).index.bucket(request["Bucket"])
    if home is None:
        if call.service == "s3":
            raise no_such_bucket(request["Bucket"])
        return None, None
    document = _policy(call, home)
    if acl.enforced(home):
        return document, home.account
    return _with_acls(call, request, home, document)


def _policy(call: Any, home: Bucket) -> Document | None:
    """The bucket's policy. Under RestrictPublicBuckets a public one reaches only the owner's account."""
    from modelyard.services.s3.policy import is_public

    document = json.loads(home.policy) if home.policy else None
    if document and "CanonicalUser" in home.policy:
        document = _with_canonical_users(call, document)
    if document and call.principal.account != home.account and block(home.settings, "RestrictPublicBuckets") and is_public(document):
        return None
    return document


def _with_canonical_users(call: Any, document: Document) -> Document:
    """Principals named by canonical user are accounts: the caller's is put by its number."""
    statements = document["Statement"]
    mine, named = acl.canonical_id(call.principal.account), []
    for one in [statements] if isinstance(statements, dict) else statements:
        principal = one.get("Principal")
        if isinstance(principal, dict) and mine in _listed(principal.get("CanonicalUser")):
            one = {**one, "Principal": {**principal, "AWS": [*_listed(principal.get("AWS")), call.principal.account]}}
        named.append(one)
    return {**document, "Statement": named}


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _with_acls(call: Any, request: dict[str, Any], home: Bucket, document: Document | None) -> tuple[Document | None, str]:
    ignore = block(home.settings, "IgnorePublicAcls")
    owner, action = home.account, request.get("Action", "").lower()
    granted = acl.statements(home.settings.get("Acl"), acl.BUCKET_ACTIONS, call.principal, ignore)
    found = _object(call, request) if request.get("Key") and not _of_bucket_owner(call, action) else None
    if found is None or found.marker:
        granted = [_for_what_is_not_there(call, one) for one in granted]
    else:
        owner = acl.owner_account(home, found)
        if owner != home.account:
            granted, document = [], _only_denials(document)
        granted += acl.statements(found.meta.get("acl"), acl.OBJECT_ACTIONS, call.principal, ignore)
    if not granted:
        return document, owner or "anonymous"
    statements = document["Statement"] if document else []
    statements = [statements] if isinstance(statements, dict) else statements
    return {"Version": (document or {}).get("Version", "2012-10-17"), "Statement": [*statements, *granted]}, owner or "anonymous"


def _of_bucket_owner(call: Any, action: str) -> bool:
    return action in _OF_BUCKET_OWNER or (action in ("s3:putobjectacl", "s3:putobjecttagging") and call.operation in _MAKING)


def _for_what_is_not_there(call: Any, statement: dict[str, Any]) -> dict[str, Any]:
    """Who may write a bucket may set the list of what he writes; who may list it may hear that a key is missing."""
    actions = statement["Action"]
    more = ["s3:PutObjectAcl", "s3:PutObjectTagging"] if "s3:PutObject" in actions and call.operation in _MAKING else []
    more += acl.OBJECT_ACTIONS["READ"] if "s3:ListBucket" in actions else []
    return {**statement, "Action": actions + more}


def _object(call: Any, request: dict[str, Any]) -> Version | None:
    index, bucket, key = depot_of(call).index, request["Bucket"], request["Key"]
    version = request.get("VersionId") or _version_of_source(request, bucket, key)
    return index.version(bucket, key, version) if version else index.latest(bucket, key)


def _version_of_source(request: dict[str, Any], bucket: str, key: str) -> str | None:
    """Of a copy, the version that is read, where the object at hand is its source."""
    from modelyard.services.s3.copy import read_source

    source = request.get("CopySource")
    if source is None or not request.get("Action", "").lower().startswith("s3:getobject"):
        return None
    named = read_source(source)
    return named[2] if named[:2] == (bucket, key) else None


def _only_denials(document: Document | None) -> Document | None:
    if document is None:
        return None
    statements = document["Statement"]
    statements = [statements] if isinstance(statements, dict) else statements
    return {**document, "Statement": [one for one in statements if one.get("Effect") == "Deny"]}


def block(settings: dict[str, Any], name: str) -> bool:
    """Whether a setting of the public access block is on."""
    return bool((settings.get("PublicAccessBlock") or {}).get(name))
