"""Key policies: the default ones, what the IAM engine asks about a key, GetKeyPolicy, PutKeyPolicy, ListKeyPolicies.

A key policy is the first word about its key: without it nobody may do anything with the key, not even root. That it names the
account is what lets IAM policies count. Grants of the key speak as further statements of it.
Source: "Key policies in AWS KMS" and "Grants in AWS KMS" of the KMS developer guide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.services.iam.present import strangers
from modelyard.services.iam.resource_documents import BadDocument, PoliciesOf, checked
from modelyard.services.kms import api
from modelyard.services.kms.access import the_key
from modelyard.services.kms.grants import statement_of
from modelyard.services.kms.keyring import KEY, change

NAME = "default"
LONGEST = 32_768
USES = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]


def default_policy(account: str) -> dict[str, Any]:
    """What a key gets that is made without one: the account's IAM policies decide."""
    return {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [_account_may(account, "Enable IAM User Permissions", "kms:*")],
    }


def service_policy(account: str, region: str, service: str) -> dict[str, Any]:
    """Of an AWS-managed key: whoever of the account may use the service uses the key through it, and only so."""
    through = {"kms:CallerAccount": account, "kms:ViaService": f"{service}.{region}.amazonaws.com"}
    use = {"Sid": f"Allow access through {service} for all principals in the account that are authorized to use {service}",
           "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": [*USES, "kms:CreateGrant"], "Resource": "*",
           "Condition": {"StringEquals": through}}  # fmt: skip
    look = _account_may(account, "Allow direct access to key metadata to the account", ["kms:Describe*", "kms:Get*", "kms:List*"])
    return {"Version": "2012-10-17", "Id": f"auto-{service}-1", "Statement": [use, look]}


def _account_may(account: str, sid: str, actions: Any) -> dict[str, Any]:
    root = f"arn:aws:iam::{account}:root"
    return {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": root}, "Action": actions, "Resource": "*"}


def policies_of(platform: Any) -> PoliciesOf:
    """For `parts["resource_policies"]`."""

    def find(arn: str) -> tuple[Mapping[str, Any] | str | None, str | None]:
        key = platform.store.by_arn(arn)
        if key is None or key.kind != KEY.kind:
            return None, None
        given = [statement for grant in platform.store.children(key.uid, "kms-grant") for statement in statement_of(grant)]
        if not given:
            return key.spec["Policy"], key.account
        document = json.loads(key.spec["Policy"])
        statements = document["Statement"]
        return {**document, "Statement": [*(statements if isinstance(statements, list) else [statements]), *given]}, key.account

    return PoliciesOf((":key/",), find, must_grant=True)


def checked_policy(call: Any, text: str, arn: str, account: str, bypass: bool) -> str:
    """The text, if it is a key policy under which the caller can still change the policy later. Raises MalformedPolicyDocumentException."""
    if len(text.encode()) > LONGEST:
        raise api.error.LimitExceededException(f"The key policy is longer than {LONGEST} bytes.")
    try:
        document = checked(text, "kms")
    except BadDocument as problem:
        raise _malformed(str(problem)) from None
    if strangers(call.store, document):
        raise _malformed("Policy contains a statement with one or more invalid principals.")
    call.platform.identity.remember_named(text)
    if not bypass and call.platform.settings.auth != "open":
        condition = {"kms:CallerAccount": call.principal.account, **call.condition}
        if not call.platform.identity.decide(
            call.principal, "kms:PutKeyPolicy", arn, condition, document, account, must_grant=True
        ).allowed:
            raise _malformed("The new key policy will not allow you to update the key policy in the future.")
    return text


def _malformed(text: str) -> ApiError:
    return api.error.MalformedPolicyDocumentException(text)


@api.operation
def get_key_policy(call, request):
    key = the_key(call, request["KeyId"], request, own=True)
    _check_name(request)
    return {"Policy": call.platform.identity.policy_in_force(key.spec["Policy"]), "PolicyName": NAME}


@api.operation
def put_key_policy(call, request):
    key = the_key(call, request["KeyId"], request, own=True)
    _check_name(request)
    check_customer(key)
    text = checked_policy(call, request["Policy"], key.arn, key.account, bool(request.get("BypassPolicyLockoutSafetyCheck")))
    change(call.store, key, lambda now: {"Policy": text})
    return {}


@api.operation
def list_key_policies(call, request):
    the_key(call, request["KeyId"], request, own=True)
    return {"PolicyNames": [NAME], "Truncated": False}


def check_customer(key: Record) -> None:
    """AWS-managed keys are AWS's to manage."""
    if key.spec["Manager"] == "AWS":
        raise ApiError("AccessDeniedException", f"{key.arn} is an AWS managed key: only AWS may change it.", 400)


def _check_name(request: Mapping[str, Any]) -> None:
    if request.get("PolicyName", NAME) != NAME:
        raise api.error.NotFoundException(f"No such policy exists: {request['PolicyName']}")
