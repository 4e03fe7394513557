"""What the batch operations of SQS have in common."""

from __future__ import annotations

import re
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.sqs import api

MOST_ENTRIES = 10


def check_entries(entries: list[dict[str, Any]], kind: str) -> None:
    """Raises for a batch as a whole: empty, too many entries, ids that are wrong or twice there."""
    if not entries:
        raise api.error.EmptyBatchRequest(f"There should be at least one {kind} in the request.")
    if len(entries) > MOST_ENTRIES:
        raise api.error.TooManyEntriesInBatchRequest(
            f"Maximum number of entries per request are {MOST_ENTRIES}. You have sent {len(entries)}."
        )
    seen: set[str] = set()
    for entry in entries:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", entry["Id"]):
            raise api.error.InvalidBatchEntryId(
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."
            )
        if entry["Id"] in seen:
            raise api.error.BatchEntryIdsNotDistinct(f"Id {entry['Id']} repeated.")
        seen.add(entry["Id"])


def failure(entry_id: str, error: ApiError) -> dict[str, Any]:
    return {"Id": entry_id, "SenderFault": error.sender_fault, "Code": error.code, "Message": error.message}
