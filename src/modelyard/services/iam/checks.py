"""What the operations on roles, users, groups and policies share: finding, guarded saving, tags, boundaries."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Moved, Taken
from modelyard.services.iam import api, managed, names
from modelyard.services.iam.document import as_list
from modelyard.services.iam.pages import page
from modelyard.services.iam.validate import malformed

Spec = dict[str, Any]
MAX_TAGS = 50


def find(call: Call, kind: Lifecycle, name: str, missing: str) -> Record:
    """The caller's account's resource of this name, in whatever case it is asked for; NoSuchEntity with the given text."""
    record = names.of_name(call.store, kind.kind, call.account, name)
    if record is None:
        raise api.error.NoSuchEntityException(missing)
    return record


def taken(call: Call, kind: Lifecycle, name: str, message: str) -> None:
    """Names are unique whatever their case."""
    for record in call.store.list(kind.kind, call.account, names.GLOBAL, contains=name):
        if record.name.lower() == name.lower():
            raise api.error.EntityAlreadyExistsException(message)


def save(call: Call, read: Callable[[], Record], change: Callable[[Record], Spec]) -> Record:
    """Reads, decides and writes again until nobody came in between. `change` answers the members of the spec to set."""
    while True:
        record = read()
        try:
            return call.store.request(record, change(record), due=False)
        except Moved:
            continue


def save_status(call: Call, read: Callable[[], Record], status: str) -> None:
    """Switches a user's credential on or off."""
    if status not in ("Active", "Inactive"):
        raise ApiError("ValidationError", f"Invalid status: {status}", 400)
    save(call, read, lambda record: {"Status": status})


def rename(call: Call, read: Callable[[], Record], word: str, name: str | None, path: str | None, what: str) -> Record:
    """Another name or path of a resource (`word` in its ARN); `what` begins the text where the name is another's."""
    while True:
        record = read()
        new, place = name or record.name, path or record.spec["Path"]
        message = f"{what} with name {new} already exists."
        for other in call.store.list(record.kind, call.account, names.GLOBAL, contains=new):
            if other.name.lower() == new.lower() and other.uid != record.uid:
                raise api.error.EntityAlreadyExistsException(message)
        call.authorize(f"iam:{call.operation}", names.arn(call.account, word, place, new))  # of the new name too, not of the old one only
        try:
            return call.store.rename(record, new, names.arn(call.account, word, place, new), {"Path": place})
        except Moved:
            continue
        except Taken:
            raise api.error.EntityAlreadyExistsException(message)


def quota(call: Call, kind: Lifecycle, most: int, word: str) -> None:
    if call.store.count(kind.kind, call.account, names.GLOBAL) >= most:
        raise api.error.LimitExceededException(f"Cannot exceed quota for {word}PerAccount: {most}")


def tags_of(request: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}


def tag_list(call: Call, record: Record) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in call.store.tags(record.arn).items()]


def new_tags(request: dict[str, Any]) -> dict[str, str]:
    """The tags of a create or tag request. Keys are the same whatever their case, and may come once."""
    keys = [tag["Key"].lower() for tag in request.get("Tags", [])]
    if len(keys) != len(set(keys)):
        raise api.error.InvalidInputException("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for key in keys:
        if key.startswith("aws:"):
            raise api.error.InvalidInputException("Tag keys that begin with aws: are reserved for system use.")
    return tags_of(request)


def tag(call: Call, read: Callable[[], Record], request: dict[str, Any]) -> dict[str, Any]:
    """Sets tags of a resource; a key that differs only in case is the same key."""
    record, tags = read(), new_tags(request)
    lower = {key.lower() for key in tags}
    have = call.store.tags(record.arn)
    too_many = api.error.LimitExceededException(
        f"The number of tags has reached the maximum limit. Cannot exceed quota for TagsPerResource: {MAX_TAGS}"
    )
    if len({key.lower() for key in have} | lower) > MAX_TAGS:
        raise too_many
    call.store.remove_tags(record.arn, [key for key in have if key.lower() in lower and key not in tags])
    call.store.set_tags(record.arn, tags)
    if len(call.store.tags(record.arn)) > MAX_TAGS:  # others came in between
        call.store.remove_tags(record.arn, [key for key in tags if key not in have])
        raise too_many
    save(call, read, lambda record: {})  # an event: tags are part of decisions
    return {}


def untag(call: Call, read: Callable[[], Record], request: dict[str, Any]) -> dict[str, Any]:
    record = read()
    lower = {key.lower() for key in request["TagKeys"]}
    call.store.remove_tags(record.arn, [key for key in call.store.tags(record.arn) if key.lower() in lower])
    save(call, read, lambda record: {})
    return {}


def list_tags(call: Call, record: Record, request: dict[str, Any]) -> dict[str, Any]:
    shown, more = page(tag_list(call, record), request, lambda tag: tag["Key"])
    return {"Tags": shown, **more}


def boundary_of(call: Call, request: dict[str, Any]) -> Spec:
    """The spec of a requested permissions boundary, which must be a policy that is there."""
    arn = request.get("PermissionsBoundary")
    if not arn:
        return {}
    policy_exists(call, arn)
    return {"PermissionsBoundary": arn}


_POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(aws|\d{12}):policy/[!-~]+").fullmatch


_UNIQUE_ID = re.compile(r"A(IDA|ROA)[A-Z0-9]{12,}").fullmatch


def policy_arn(arn: str) -> str:
    """Raises ValidationError where it is no ARN, InvalidInput where it is none of a policy."""
    if not arn.startswith("arn:"):
        raise ApiError("ValidationError", "Invalid ARN:  Could not be parsed!", 400)
    if not _POLICY_ARN(arn):
        raise api.error.InvalidInputException(f"ARN {arn} is not valid.")
    return arn


def policy_exists(call: Call, arn: str) -> None:
    if managed.find(policy_arn(arn)) is None:
        record = call.store.get(names.POLICY.kind, call.account, names.GLOBAL, arn.rsplit("/", 1)[-1])
        if record is None or record.arn != arn:
            raise api.error.NoSuchEntityException(f"Policy {arn} does not exist or is not attachable.")


def boundary_field(record: Record) -> dict[str, Any]:
    arn = record.spec.get("PermissionsBoundary")
    return {"PermissionsBoundary": {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}} if arn else {}


def principals_exist(call: Call, document: Mapping[str, Any]) -> None:
    """Users and roles that a trust policy names must be there, in the accounts that this platform has (of others it knows
    nothing, and takes them as they are). A unique id is that of somebody who is there, or of nobody any more."""
    for statement in as_list(document["Statement"]):
        element = statement.get("Principal", statement.get("NotPrincipal"))
        for arn in as_list(element.get("AWS", [])) if isinstance(element, Mapping) else []:
            if not _principal_exists(call, arn):
                raise malformed(f'Invalid principal in policy: "AWS":"{arn}"')


def _principal_exists(call: Call, arn: str) -> bool:
    if _UNIQUE_ID(arn):
        kinds = ((names.USER, "UserId"), (names.ROLE, "RoleId"))
        return any(record.spec[member] == arn for kind, member in kinds for record in call.store.list(kind.kind))
    parts = arn.split(":", 5)
    word, _, rest = parts[-1].partition("/")
    kind = {"role": names.ROLE, "user": names.USER, "assumed-role": names.ROLE}.get(word)
    if len(parts) != 6 or kind is None:
        return True
    account, name = parts[4], rest.split("/")[0] if word == "assumed-role" else rest.rsplit("/", 1)[-1]
    if call.store.get(names.ACCOUNT.kind, account, names.GLOBAL, account) is None:
        return True
    record = call.store.get(kind.kind, account, names.GLOBAL, name)
    return record is not None and (word == "assumed-role" or record.arn == arn)
