"""Log streams: create, describe, delete."""

from __future__ import annotations

from modelyard.kernel.errors import ApiError
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.logs import api
from modelyard.services.logs.groups import group_arn, the_group, the_named_group
from modelyard.services.logs.log_store import Group, Stream

DESCRIBE_LIMIT = 50


@api.operation
def create_log_stream(call, request):
    if not call.platform.logs.create_stream(the_group(call, request["logGroupName"]), request["logStreamName"]):
        raise api.error.ResourceAlreadyExistsException("The specified log stream already exists")
    return {}


@api.operation
def delete_log_stream(call, request):
    group = the_group(call, request["logGroupName"])
    call.platform.logs.delete_stream(the_stream(call, group, request["logStreamName"]))
    return {}


@api.operation
def describe_log_streams(call, request):
    if request.get("logGroupName") and request.get("logGroupIdentifier"):
        raise ApiError("ValidationException", "LogGroup name and LogGroup ARN are mutually exclusive parameters.", 400)
    group = the_named_group(call, request)
    by_time = request.get("orderBy") == "LastEventTime"
    if by_time and request.get("logStreamNamePrefix"):
        raise api.error.InvalidParameterException("Cannot order by LastEventTime with a logStreamNamePrefix.")
    limit = request.get("limit", DESCRIBE_LIMIT)
    found = call.platform.logs.streams(
        group,
        prefix=request.get("logStreamNamePrefix", ""),
        by_time=by_time,
        descending=request.get("descending", False),
        after=decode_token(request.get("nextToken"), api.error.InvalidParameterException, [0, ""] if by_time else ""),
        limit=limit + 1,
    )
    answer = {"logStreams": [_describe(call, group, stream) for stream in found[:limit]]}
    if len(found) > limit:
        last = found[limit - 1]
        answer["nextToken"] = encode_token([last.last_ms or 0, last.name] if by_time else last.name)
    return answer


# --- helpers -------------------------------------------------------------------------------------


def sequence_token(stream: Stream) -> str:
    """Told for old clients; PutLogEvents needs none and takes any."""
    return f"{stream.id:056d}"


def the_stream(call, group: Group, name: str) -> Stream:
    stream = call.platform.logs.stream(group, name)
    if stream is None:
        raise api.error.ResourceNotFoundException("The specified log stream does not exist.")
    return stream


def _describe(call, group: Group, stream: Stream) -> dict:
    said = {
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        "arn": f"{group_arn(call, group.name)}:log-stream:{stream.name}",
        # AWS stopped filling this in 2019 and answers 0 for streams.
        "storedBytes": 0,
    }
    if stream.ingested_ms is not None:
        said["uploadSequenceToken"] = sequence_token(stream)
    for member, value in (
        ("firstEventTimestamp", stream.first_ms),
        ("lastEventTimestamp", stream.last_ms),
        ("lastIngestionTime", stream.ingested_ms),
    ):
        if value is not None:
            said[member] = value
    return said
