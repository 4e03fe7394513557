"""What experiments, trials and components share: finding by name or ARN, times and authors of an answer, changes, deletion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.lifecycle import Lifecycle, static
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import PAGE, arn_of, full_arn, tags_of

EXPERIMENT, TRIAL, COMPONENT = static("experiment"), static("experiment-trial"), static("experiment-trial-component")
NOUNS = {EXPERIMENT.kind: "Experiment", TRIAL.kind: "Trial", COMPONENT.kind: "Trial Component"}
SORTS = {"Name": lambda record: (record.name,), "CreationTime": lambda record: (record.created_at, record.name)}


def create(call: Any, kind: Lifecycle, request: dict[str, Any], name: str) -> Record:
    """A new one from its create request; AWS's text for a name that is taken is what its SDK looks for."""
    spec = {key: value for key, value in request.items() if key != "Tags"}
    arn, tags = arn_of(call, kind.kind, name), tags_of(request)
    if call.store.by_arn(arn):
        raise taken(kind, name)
    try:
        return call.store.create(kind, account=call.account, region=call.region, name=name, arn=arn, spec=spec, tags=tags)
    except Taken:
        raise taken(kind, name) from None


def the(call: Any, kind: Lifecycle, name: str) -> Record:
    """The one of this name (or ARN); ResourceNotFound."""
    arn = full_arn(call, kind.kind, name)
    record = call.store.by_arn(arn)
    if record is None or record.kind != kind.kind:
        raise api.error.ResourceNotFound(f"{NOUNS[kind.kind]} '{arn}' does not exist.")
    return record


def delete(call: Any, kind: Lifecycle, name: str, check: Callable[[Record], None]) -> Record:
    while True:
        record = the(call, kind, name)
        check(record)
        try:
            call.store.delete(record)
            return record
        except Moved:
            continue


def shown(record: Record, members: Sequence[str]) -> dict[str, Any]:
    """What Describe says of any of them, and `members` of the spec."""
    said = {
        "DisplayName": record.spec.get("DisplayName", record.name),
        "CreationTime": record.created_at,
        "CreatedBy": {},
        "LastModifiedTime": record.updated_at,
        "LastModifiedBy": {},
    }
    return said | {member: record.spec[member] for member in members if member in record.spec}


def page_of(records: Sequence[Record], request: dict[str, Any]) -> tuple[list[Record], dict[str, str]]:
    """One page of records at hand, filtered by time and sorted as a List operation asks."""
    after, before = request.get("CreatedAfter"), request.get("CreatedBefore")
    kept = [r for r in records if (after is None or r.created_at > after) and (before is None or r.created_at < before)]
    key = SORTS[request.get("SortBy", "CreationTime")]
    descending = request.get("SortOrder", "Descending") == "Descending"
    kept.sort(key=key, reverse=descending)
    if request.get("NextToken"):
        place = decode_token(request["NextToken"], validation)
        kept = [r for r in kept if _is_beyond(list(key(r)), place, descending)]
    limit = request.get("MaxResults", PAGE)
    return kept[:limit], ({"NextToken": encode_token(list(key(kept[limit - 1])))} if len(kept) > limit else {})


def _is_beyond(mine: list[Any], place: Any, descending: bool) -> bool:
    if not isinstance(place, list) or [type(v) for v in place] != [type(v) for v in mine]:
        raise validation("The pagination token is invalid: it belongs to another request.")
    return mine < place if descending else mine > place


def taken(kind: Lifecycle, name: str) -> ApiError:
    noun = NOUNS[kind.kind]
    return validation(f"{noun} names must be unique within an AWS account and region. {noun} with name ({name}) already exists.")
