"""Tags of secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelyard.services.secretsmanager import api
from modelyard.services.secretsmanager.secret import change, check_primary, the_secret

MOST = 50


@api.operation
def tag_resource(call, request):
    record = the_secret(call, request["SecretId"])
    check_primary(record)
    call.store.set_tags(record.arn, checked_tags(request["Tags"], call.store.tags(record.arn)))
    call.store.wake(record.uid)  # its replicas follow
    return {}


@api.operation
def untag_resource(call, request):
    record = the_secret(call, request["SecretId"])
    check_primary(record)
    had = call.store.tags(record.arn)
    call.store.remove_tags(record.arn, request["TagKeys"])
    if had and not call.store.tags(record.arn):
        change(call, record, lambda now: {"Tagged": True})
    call.store.wake(record.uid)
    return {}


def checked_tags(given: Sequence[Mapping[str, str]], have: Mapping[str, str]) -> dict[str, str]:
    """The tags by key. Raises InvalidParameterException."""
    tags = {tag["Key"]: tag.get("Value", "") for tag in given if "Key" in tag}
    if len(tags) != len(given):
        raise api.error.InvalidParameterException("Each tag needs a key of its own.")
    if any(name.lower().startswith("aws:") for name in tags):
        raise api.error.InvalidParameterException("Tag keys that begin with aws: are reserved.")
    if len({**have, **tags}) > MOST:
        raise api.error.InvalidParameterException(f"A secret may have at most {MOST} tags.")
    return tags
