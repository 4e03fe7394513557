"""Scheduled deletion: a key waits 7 to 30 days, and can be kept until then. The engine deletes it (upkeep.py).

The primary of multi-Region keys waits for its replicas to go before its own days begin (replication.py).
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.kms import api
from modelyard.services.kms.access import the_key
from modelyard.services.kms.family import is_replica, replicas_of
from modelyard.services.kms.keyring import DAY, change, check_state, state_of
from modelyard.services.kms.policy import check_customer

SHORTEST, LONGEST = 7, 30


@api.operation
def schedule_key_deletion(call, request):
    days = request.get("PendingWindowInDays", LONGEST)
    key = the_key(call, request["KeyId"], {**request, "PendingWindowInDays": days}, own=True)
    check_customer(key)
    if not SHORTEST <= days <= LONGEST:
        raise validation(f"PendingWindowInDays must be between {SHORTEST} and {LONGEST}: it was {days}.")

    def scheduled(now: Record) -> dict[str, Any]:
        check_state(now, call.now(), "Enabled", "Disabled", "PendingImport")
        return {"DeletionWindow": days} if replicas_of(now) and not is_replica(now) else {"DeletionDate": call.now() + days * DAY}

    key = change(call.store, key, scheduled)
    told = {"KeyId": key.arn, "KeyState": state_of(key, call.now()), "PendingWindowInDays": days}
    return told | ({"DeletionDate": key.spec["DeletionDate"]} if "DeletionDate" in key.spec else {})


@api.operation
def cancel_key_deletion(call, request):
    """The key is kept, and disabled."""
    key = the_key(call, request["KeyId"], request, own=True)

    def kept(now: Record) -> dict[str, Any]:
        if state_of(now, call.now()) not in ("PendingDeletion", "PendingReplicaDeletion"):
            raise api.error.KMSInvalidStateException(f"{now.arn} is not pending deletion.")
        return {"DeletionDate": None, "DeletionWindow": None, "Enabled": False}

    return {"KeyId": change(call.store, key, kept).arn}
