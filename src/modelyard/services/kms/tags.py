"""Tags of keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelyard.services.kms import api
from modelyard.services.kms.access import the_key
from modelyard.services.kms.keyring import check_state
from modelyard.services.kms.paging import page
from modelyard.services.kms.policy import check_customer

MOST = 50


@api.operation
def tag_resource(call, request):
    key = the_key(call, request["KeyId"], request, own=True)
    check_customer(key)
    check_state(key, call.now(), "Enabled", "Disabled", "PendingImport")
    call.store.set_tags(key.arn, checked_tags(request["Tags"], call.store.tags(key.arn)))
    return {}


@api.operation
def untag_resource(call, request):
    key = the_key(call, request["KeyId"], request, own=True)
    check_customer(key)
    check_state(key, call.now(), "Enabled", "Disabled", "PendingImport")
    call.store.remove_tags(key.arn, request["TagKeys"])
    return {}


@api.operation
def list_resource_tags(call, request):
    key = the_key(call, request["KeyId"], request, own=True)
    shown, more = page(list(call.store.tags(key.arn).items()), request, lambda tag: tag[0])
    return {"Tags": [{"TagKey": name, "TagValue": value} for name, value in shown], **more}


def checked_tags(given: Sequence[Mapping[str, str]], have: Mapping[str, str]) -> dict[str, str]:
    """The tags by key. Raises TagException."""
    tags = {tag["TagKey"]: tag["TagValue"] for tag in given}
    if len(tags) != len(given):
        raise api.error.TagException("Duplicate tag keys")
    if any(name.lower().startswith("aws:") for name in tags):
        raise api.error.TagException("Tags beginning with aws: are reserved")
    if len({**have, **tags}) > MOST:
        raise api.error.TagException("Too many tags")
    return tags
