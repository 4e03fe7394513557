"""Tags of scalable targets."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.applicationautoscaling import api
from modelyard.services.applicationautoscaling.target import MOST_TAGS, TARGET


@api.operation
def tag_resource(call, request):
    target, tags = _the_target(call, request["ResourceARN"]), request["Tags"]
    if any(key.lower().startswith("aws:") for key in tags):
        raise validation("Tag keys must not start with aws:, which is reserved.")
    if len({**call.store.tags(target.arn), **tags}) > MOST_TAGS:
        raise api.error.TooManyTagsException(f"A resource may have at most {MOST_TAGS} tags.", ResourceName=target.arn)
    call.store.set_tags(target.arn, tags)
    return {}


@api.operation
def untag_resource(call, request):
    call.store.remove_tags(_the_target(call, request["ResourceARN"]).arn, request["TagKeys"])
    return {}


@api.operation
def list_tags_for_resource(call, request):
    return {"Tags": call.store.tags(_the_target(call, request["ResourceARN"]).arn)}


def _the_target(call: Any, arn: str) -> Record:
    target = call.store.by_arn(arn)
    if target is None or target.kind != TARGET.kind or target.account != call.account or target.spec.get("delete"):
        raise api.error.ResourceNotFoundException(f"The resource doesn't exist: {arn}", ResourceName=arn)
    return target
