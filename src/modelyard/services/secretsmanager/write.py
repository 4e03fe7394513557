"""CreateSecret, PutSecretValue, UpdateSecret, UpdateSecretVersionStage. Source: the Secrets Manager API reference."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record, new_uid
from modelyard.kernel.store import Taken
from modelyard.services.secretsmanager import api
from modelyard.services.secretsmanager.read import value_of
from modelyard.services.secretsmanager.replicas import statuses
from modelyard.services.secretsmanager.replication import checked_regions
from modelyard.services.secretsmanager.secret import (
    CURRENT,
    PENDING,
    PREVIOUS,
    SECRET,
    change,
    check_alive,
    check_key,
    check_name,
    check_primary,
    check_reachable,
    holder,
    request_token,
    sealed,
    staged,
    the_secret,
)
from modelyard.services.secretsmanager.tags import checked_tags

MOST_VERSIONS, MOST_STAGES, MOST_SECRETS = 100, 20, 500_000
LONGEST_NAME = 512


@api.operation
def create_secret(call, request):
    """The same request token with the same content answers the secret that it made."""
    name = request["Name"]
    check_name(name)
    for member in ("CrossAccountPrimaryARN", "Type"):
        if request.get(member):
            raise api.error.InvalidParameterException(f"Modelyard has not built {member} of secrets; nothing was done.")
    replicas = checked_regions(call.region, request.get("AddReplicaRegions") or [], bool(request.get("ForceOverwriteReplicaSecret")))
    value, token, tags = _value(request), request_token(request), checked_tags(request.get("Tags") or [], {})
    have = call.store.get(SECRET.kind, call.account, call.region, name)
    if have is not None:
        return _made_before(call, have, token, value)
    arn = f"arn:aws:secretsmanager:{call.region}:{call.account}:secret:{name}-{_random_end()}"
    uid, versions = new_uid(), {}
    if value is not None:
        versions[token] = {**_stored(call, uid, arn, token, value, request.get("KmsKeyId")), "Stages": [CURRENT]}
    spec = {
        "Description": request.get("Description"),
        "KmsKeyId": request.get("KmsKeyId") or None,
        "Versions": versions,
        "Changed": call.now(),
        "Replicas": replicas or None,
    }
    spec = {member: one for member, one in spec.items() if one is not None}
    try:
        made = call.store.create(
            SECRET, account=call.account, region=call.region, name=name, arn=arn, spec=spec, tags=tags, uid=uid, detail={"created": True}
        )
    except Taken as taken:
        call.platform.secrets.forget(uid)
        return _made_before(call, taken.record, token, value)
    told = {"ReplicationStatus": statuses(call.store, made)} if replicas else {}
    return {"ARN": arn, "Name": name, **({"VersionId": token} if versions else {}), **told}


@api.operation
def put_secret_value(call, request):
    value = _value(request)
    if value is None:
        raise api.error.InvalidRequestException("You must provide either SecretString or SecretBinary.")
    record = the_secret(call, request["SecretId"])
    check_primary(record)
    stages = list(dict.fromkeys(request.get("VersionStages") or [CURRENT]))
    token = request_token(request)
    record = _put(call, record, token, value, stages, {})
    return {"ARN": record.arn, "Name": record.name, "VersionId": token, "VersionStages": record.spec["Versions"][token]["Stages"]}


@api.operation
def update_secret(call, request):
    """Its description or key, and with a value a new version, current at once."""
    record, value = the_secret(call, request["SecretId"]), _value(request)
    check_primary(record)
    if request.get("Type"):
        raise api.error.InvalidParameterException("Modelyard has not built Type of secrets; nothing was done.")
    told = {member: request[member] for member in ("Description", "KmsKeyId") if member in request}
    if "KmsKeyId" in told:
        told["KmsKeyId"] = told["KmsKeyId"] or None
    if value is None:
        record = _rekeyed(call, record, told) if "KmsKeyId" in told else record
        record = change(call, record, lambda now: (check_alive(now), {**told, "Changed": call.now()})[1])
        return {"ARN": record.arn, "Name": record.name}
    token = request_token(request)
    record = _put(call, record, token, value, [CURRENT], told)
    return {"ARN": record.arn, "Name": record.name, "VersionId": token}


@api.operation
def update_secret_version_stage(call, request):
    record, stage = the_secret(call, request["SecretId"]), request["VersionStage"]
    check_primary(record)
    source, target = request.get("RemoveFromVersionId"), request.get("MoveToVersionId")

    def moved(now: Record) -> dict[str, Any]:
        check_alive(now)
        versions = now.spec["Versions"]
        has = holder(versions, stage)
        for name in filter(None, (source, target)):
            if name not in versions:
                raise api.error.ResourceNotFoundException(f"Secrets Manager can't find the specified secret value for VersionId: {name}")
        if has is not None and has not in (source, target):
            raise api.error.InvalidParameterException(
                f"The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {has}, so you must "
                "explicitly reference that version in RemoveFromVersionId."
            )
        if source is not None and has != source:
            raise api.error.InvalidParameterException(f"Staging label {stage} is not attached to version {source}.")
        if target is None and stage == CURRENT:
            raise api.error.InvalidParameterException(
                f"You can only move staging label {CURRENT} to a different secret version. It can't be completely removed."
            )
        if target is None:
            if source is None:
                raise api.error.InvalidParameterException("You must provide RemoveFromVersionId, MoveToVersionId or both.")
            stages = [one for one in versions[source]["Stages"] if one != stage]
            return {"Versions": {**versions, source: {**versions[source], "Stages": stages}}, "Changed": call.now()}
        return {"Versions": _counted(staged(versions, target, [stage])), "Changed": call.now()}

    record = change(call, record, moved)
    return {"ARN": record.arn, "Name": record.name}


# --- helpers -------------------------------------------------------------------------------------


def _put(call: Any, record: Record, token: str, value: str | bytes, stages: list[str], told: Mapping[str, Any]) -> Record:
    """A new version with these stages. A version that is there already is this one only if it has the same value."""
    key = told["KmsKeyId"] if "KmsKeyId" in told else record.spec.get("KmsKeyId")
    check_reachable(call, record, key)
    fresh = _stored(call, record.uid, record.arn, token, value, key)
    dropped: list[str] = []

    def added(now: Record) -> dict[str, Any]:
        check_alive(now)
        versions, have = now.spec["Versions"], now.spec["Versions"].get(token)
        dropped[:] = []
        if have is not None and have["Value"] is not None:
            if value_of(call, now, token) != value:
                raise _in_use(token, now)
            dropped.append(fresh["Value"])
            return dict(told)
        first = not any(version["Value"] is not None for version in versions.values())
        wanted = list(dict.fromkeys([*stages, CURRENT])) if first and holder(versions, CURRENT) is None else stages
        kept, gone = _room({**versions, token: {**fresh, "Stages": have["Stages"] if have else []}}, token)
        dropped.extend(gone)
        return {**told, "Versions": _counted(staged(kept, token, wanted)), "Changed": call.now()}

    try:
        record = change(call, record, added)
    except BaseException:
        call.platform.secrets.drop([fresh["Value"]])
        raise
    call.platform.secrets.drop(dropped)
    return record


def _rekeyed(call: Any, record: Record, told: Mapping[str, Any]) -> Record:
    """The versions with AWS's own stages under the new key, by the rights of who asks: without them on the new key none is encrypted anew,
    and what the old key no longer opens stays as it is."""
    check_key(call.platform.kms, record.arn, told["KmsKeyId"])
    dropped: list[str] = []
    replaced: list[str] = []

    def anew(now: Record) -> dict[str, Any]:
        check_alive(now)
        call.platform.secrets.drop(dropped)
        dropped[:], replaced[:] = [], []
        versions = dict(now.spec["Versions"])
        for name, one in now.spec["Versions"].items():
            if one["Value"] is None or not {CURRENT, PREVIOUS, PENDING} & set(one["Stages"]):
                continue
            try:
                value = value_of(call, now, name)
            except ApiError as problem:
                if problem.code != "DecryptionFailure":
                    raise
                continue
            fresh = _stored(call, now.uid, now.arn, name, value, told["KmsKeyId"])
            dropped.append(fresh["Value"])
            replaced.append(one["Value"])
            versions[name] = {**one, "Value": fresh["Value"], "Key": fresh["Key"]}
        return {**told, "Versions": versions}

    try:
        changed = change(call, record, anew)
    except BaseException as problem:
        call.platform.secrets.drop(dropped)
        if isinstance(problem, ApiError) and problem.code == "AccessDeniedException":
            return record
        raise
    call.platform.secrets.drop(replaced)
    return changed


def _room(versions: dict[str, Any], new: str) -> tuple[dict[str, Any], list[str]]:
    """(the versions that are kept, rows of those that are not): the oldest without a stage goes."""
    gone = []
    while len(versions) > MOST_VERSIONS:
        oldest = min(
            (one for one, version in versions.items() if not version["Stages"] and one != new),
            key=lambda one: versions[one]["At"],
            default=None,
        )
        if oldest is None:
            raise api.error.LimitExceededException(f"A secret may have at most {MOST_VERSIONS} versions with staging labels.")
        gone += [versions[oldest]["Value"]] if versions[oldest]["Value"] else []
        versions = {one: version for one, version in versions.items() if one != oldest}
    return versions, gone


def _counted(versions: dict[str, Any]) -> dict[str, Any]:
    if sum(len(version["Stages"]) for version in versions.values()) > MOST_STAGES:
        raise api.error.LimitExceededException(f"A secret may have at most {MOST_STAGES} staging labels.")
    return versions


def _stored(call: Any, uid: str, arn: str, token: str, value: str | bytes, key: str | None) -> dict[str, Any]:
    content, key_arn = sealed(call.platform.kms, arn, token, value, key, call)
    return {"Value": call.platform.secrets.add(uid, content), "At": call.now(), "Key": key_arn if key else "DefaultEncryptionKey"}


def _value(request: Mapping[str, Any]) -> str | bytes | None:
    text, binary = request.get("SecretString"), request.get("SecretBinary")
    if text is not None and binary is not None:
        raise api.error.InvalidParameterException(
            "You can't specify both a binary secret value and a string secret value in the same request."
        )
    found = text if text is not None else binary
    if found is not None and len(found.encode() if isinstance(found, str) else found) > 65_536:
        raise api.error.InvalidParameterException("The secret value is longer than 65536 bytes.")
    return found


def _made_before(call: Any, have: Record, token: str, value: str | bytes | None) -> dict[str, Any]:
    if have.spec.get("Deletion"):
        raise api.error.InvalidRequestException(
            "You can't create this secret because a secret with this name is already scheduled for deletion."
        )
    if token in have.spec["Versions"] and value is not None and value_of(call, have, token) == value:
        return {"ARN": have.arn, "Name": have.name, "VersionId": token}
    if token in have.spec["Versions"]:
        raise _in_use(token, have)
    raise api.error.ResourceExistsException(f"The operation failed because the secret {have.name} already exists.")


def _in_use(token: str, record: Record) -> ApiError:
    return api.error.ResourceExistsException(
        f"You can't use ClientRequestToken {token} because that value is already in use for a version of secret {record.arn}."
    )


def _random_end() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(6))
