"""Filters of ListSecrets and BatchGetSecretValue. Source: "Find secrets in AWS Secrets Manager" of the user guide."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.secretsmanager import api
from modelyard.services.secretsmanager.secret import SECRET

_WORD = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[^\sA-Z/_+=.@\-!,:;]+")


def matching(call: Any, filters: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Secrets of the caller's account and region that pass every filter; one value of each is enough. Raises InvalidParameterException."""
    for one in filters:
        if not one.get("Key"):
            raise api.error.InvalidParameterException("Invalid filter key")
        if not one.get("Values"):
            raise api.error.InvalidParameterException(f"Invalid filter values for key: {one['Key']}")
    found = call.store.list(SECRET.kind, call.account, call.region, order_by="name")
    if not filters:
        return found
    tags = call.store.tags_of([one.arn for one in found])
    return [one for one in found if all(_fits(one, tags.get(one.arn, {}), each["Key"], each["Values"]) for each in filters)]


def _fits(record: Record, tags: Mapping[str, str], key: str, values: Sequence[str]) -> bool:
    """A value that begins with ! is one that must not be there."""
    unwanted, wanted = [value[1:] for value in values if value.startswith("!")], [value for value in values if not value.startswith("!")]
    texts = _texts(record, tags, key)
    if any(_one(texts, value, key) for value in unwanted):
        return False
    return not wanted or any(_one(texts, value, key) for value in wanted)


def _texts(record: Record, tags: Mapping[str, str], key: str) -> list[str]:
    description = record.spec.get("Description", "")
    primary = record.spec.get("PrimaryRegion") or (record.region if record.spec.get("Replicas") else None)
    return {
        "name": [record.name],
        "description": [description],
        "tag-key": list(tags),
        "tag-value": list(tags.values()),
        "primary-region": [primary] if primary else [],
        "owning-service": [],
        "all": [record.name, description, *tags, *tags.values()],
    }[key]


def _one(texts: Sequence[str], value: str, key: str) -> bool:
    """Names and tags begin so, with their case; descriptions and `all` have words that begin so, in any case."""
    if key not in ("description", "all"):
        return any(text.startswith(value) for text in texts)
    words, wanted = [word for text in texts for word in _words(text)], _words(value)
    return bool(wanted) and all(any(word.startswith(one) for word in words) for one in wanted)


def _words(text: str) -> list[str]:
    """Between blanks and signs, and where a capital letter begins one: fooBar is foo and bar, HTTPServer http and server."""
    return [word.lower() for word in _WORD.findall(text)]
