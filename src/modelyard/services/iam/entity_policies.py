"""Inline and attached policies of a role, a user or a group: the same for all three, the operations are in their files.

`read` re-reads the entity's record; `what` is its word in messages (role, user, group).
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api
from modelyard.services.iam.checks import policy_exists, save
from modelyard.services.iam.managed import PREFIX
from modelyard.services.iam.pages import page
from modelyard.services.iam.validate import identity_policy

Read = Callable[[], Record]
MAX_ATTACHED = 10
INLINE_BYTES = {"role": 10_240, "user": 2_048, "group": 5_120}


def put_inline(call: Call, read: Read, what: str, request: dict[str, Any]) -> dict[str, Any]:
    read()
    identity_policy(request["PolicyDocument"])

    def change(record: Record) -> dict[str, Any]:
        inline = {**record.spec["Inline"], request["PolicyName"]: request["PolicyDocument"]}
        if sum(len("".join(document.split())) for document in inline.values()) > INLINE_BYTES[what]:
            raise api.error.LimitExceededException(f"Maximum policy size of {INLINE_BYTES[what]} bytes exceeded for {what} {record.name}")
        return {"Inline": inline}

    save(call, read, change)
    return {}


def get_inline(read: Read, what: str, request: dict[str, Any]) -> dict[str, Any]:
    """PolicyName and the URL-encoded document; the caller adds the entity's name."""
    document = read().spec["Inline"].get(request["PolicyName"])
    if document is None:
        raise _no_inline(what, request["PolicyName"])
    return {"PolicyName": request["PolicyName"], "PolicyDocument": urllib.parse.quote(document, safe="")}


def delete_inline(call: Call, read: Read, what: str, request: dict[str, Any]) -> dict[str, Any]:
    def change(record: Record) -> dict[str, Any]:
        if request["PolicyName"] not in record.spec["Inline"]:
            raise _no_inline(what, request["PolicyName"])
        return {"Inline": {name: text for name, text in record.spec["Inline"].items() if name != request["PolicyName"]}}

    save(call, read, change)
    return {}


def list_inline(read: Read, request: dict[str, Any]) -> dict[str, Any]:
    shown, more = page(sorted(read().spec["Inline"]), request, lambda name: name)
    return {"PolicyNames": shown, **more}


def attach(call: Call, read: Read, what: str, request: dict[str, Any]) -> dict[str, Any]:
    """Attaching what is attached changes nothing."""
    arn = request["PolicyArn"]
    read()
    policy_exists(call, arn)
    if arn.startswith(f"{PREFIX}/aws-service-role/"):
        raise api.error.PolicyNotAttachableException(f"Cannot attach a Service Role Policy to a Customer {what.capitalize()}.")

    def change(record: Record) -> dict[str, Any]:
        attached = record.spec["Attached"]
        if arn not in attached and len(attached) >= MAX_ATTACHED:
            raise api.error.LimitExceededException(f"Cannot exceed quota for PoliciesPer{what.capitalize()}: {MAX_ATTACHED}")
        return {"Attached": attached if arn in attached else [*attached, arn]}

    save(call, read, change)
    try:
        policy_exists(call, arn)
    except ApiError:  # deleted meanwhile: DeletePolicy and this look at each other's work after their own
        release(call, read, arn)
        raise
    return {}


def release(call: Call, read: Read, arn: str) -> None:
    save(call, read, lambda record: {"Attached": [other for other in record.spec["Attached"] if other != arn]})


def detach(call: Call, read: Read, request: dict[str, Any]) -> dict[str, Any]:
    arn = request["PolicyArn"]

    def change(record: Record) -> dict[str, Any]:
        if arn not in record.spec["Attached"]:
            raise api.error.NoSuchEntityException(f"Policy {arn} was not found.")
        return {"Attached": [other for other in record.spec["Attached"] if other != arn]}

    save(call, read, change)
    return {}


def list_attached(read: Read, request: dict[str, Any]) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    arns = sorted(arn for arn in read().spec["Attached"] if arn.split(":policy", 1)[-1].startswith(prefix))
    shown, more = page(arns, request, lambda arn: arn)
    return {"AttachedPolicies": [{"PolicyName": arn.rsplit("/", 1)[-1], "PolicyArn": arn} for arn in shown], **more}


def _no_inline(what: str, name: str) -> Exception:
    return api.error.NoSuchEntityException(f"The {what} policy with name {name} cannot be found.")
