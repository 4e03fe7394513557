"""DeleteSecret, RestoreSecret: a secret waits 7 to 30 days, unless told not to. The engine deletes it (upkeep.py)."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.secretsmanager import api
from modelyard.services.secretsmanager.secret import change, check_alive, check_primary, find, the_secret

SHORTEST, LONGEST, DAY = 7, 30, 86400.0


@api.operation
def delete_secret(call, request):
    days, at_once = request.get("RecoveryWindowInDays"), bool(request.get("ForceDeleteWithoutRecovery"))
    if days is not None and not SHORTEST <= days <= LONGEST:
        raise api.error.InvalidParameterException(
            f"The RecoveryWindowInDays value must be between {SHORTEST} and {LONGEST} days (inclusive)."
        )
    if days is not None and at_once:
        raise api.error.InvalidParameterException("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
    if at_once:
        return _at_once(call, request["SecretId"])
    record = the_secret(call, request["SecretId"])
    _check_alone(record)
    due = call.now() + (days or LONGEST) * DAY

    def marked(now: Record) -> dict[str, Any]:
        check_alive(now)
        return {"Deletion": {"At": call.now(), "Due": due}}

    record = change(call, record, marked, due=True)
    return {"ARN": record.arn, "Name": record.name, "DeletionDate": due}


@api.operation
def restore_secret(call, request):
    record = the_secret(call, request["SecretId"], deleted=True)
    if record.spec.get("Deletion"):
        record = change(call, record, lambda now: {"Deletion": None}, due=True)
    return {"ARN": record.arn, "Name": record.name}


def _check_alone(record: Record) -> None:
    check_primary(record)
    if record.spec.get("Replicas"):
        regions = ", ".join(one["Region"] for one in record.spec["Replicas"])
        raise api.error.InvalidParameterException(f"You can't delete secret {record.name} that still has replica regions [{regions}]")


def _at_once(call: Any, given: str) -> dict[str, Any]:
    """What is not there is deleted already."""
    while (record := find(call, given)) is not None:
        _check_alone(record)
        try:
            call.store.delete(record)
        except Moved:
            continue
        call.platform.secrets.forget(record.uid)
        return {"ARN": record.arn, "Name": record.name, "DeletionDate": call.now()}
    arn = given if given.startswith("arn:") else f"arn:aws:secretsmanager:{call.region}:{call.account}:secret:{given}"
    return {"ARN": arn, "Name": given.split(":")[-1], "DeletionDate": call.now()}
