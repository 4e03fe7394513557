"""Tags of any SageMaker resource."""

from __future__ import annotations

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import tag_list, tags_of

MOST_TAGS, PAGE = 50, 50


@api.operation
def add_tags(call, request):
    arn = _the_resource(call, request["ResourceArn"])
    new = tags_of(request)
    if len({**call.store.tags(arn), **new}) > MOST_TAGS:
        raise validation(f"The number of tags exceeds the limit of {MOST_TAGS} per resource.")
    call.store.set_tags(arn, new)
    return {"Tags": tag_list(call.store.tags(arn))}


@api.operation
def list_tags(call, request):
    arn = _the_resource(call, request["ResourceArn"])
    after = decode_token(request.get("NextToken"), validation, "") or ""
    limit = request.get("MaxResults", PAGE)
    found = [item for item in sorted(call.store.tags(arn).items()) if item[0] > after]
    answer = {"Tags": tag_list(dict(found[:limit]))}
    if len(found) > limit:
        answer["NextToken"] = encode_token(found[limit - 1][0])
    return answer


@api.operation
def delete_tags(call, request):
    call.store.remove_tags(_the_resource(call, request["ResourceArn"]), request["TagKeys"])
    return {}


def _the_resource(call, arn: str) -> str:
    """The ARN of a resource of this account that is there; AWS compares the name part without case."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[2] != "sagemaker":
        raise validation(f"Invalid ARN: {arn}")
    kind, _, name = parts[5].partition("/")
    arn = ":".join([*parts[:5], f"{kind}/{name.lower()}"])
    record = call.store.by_arn(arn)
    if record is None or record.account != call.account:
        # ListTags of a resource that is gone answers ValidationException for jobs and endpoints alike.
        raise ApiError("ValidationException", f"Could not find resource {arn}.", 400)
    return arn
