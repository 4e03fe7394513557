"""What a Host header says: an S3 bucket, or an AWS service that a transparent proxy brought here."""

from __future__ import annotations

import re
from functools import lru_cache

from modelyard.wire.catalogue import Entry, catalogue

_AWS = re.compile(r"(?P<labels>.+?)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)\Z")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d\Z")
_S3 = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-](?:dualstack\.)?[a-z]{2}(?:-[a-z]+)+-\d|-external-1|-accelerate(?:\.dualstack)?|-fips)*\Z")
_HOST_PREFIXES = ("sync-", "streaming-", "data-", "control.", "fips.")
_FURTHER = {"sagemaker": "api.sagemaker", "runtime-fips.sagemaker": "runtime.sagemaker"}


def name_of(host: str) -> str:
    """The host without its port, lower-case."""
    if host.startswith("["):
        return host.partition("]")[0].lstrip("[").lower()
    return host.partition(":")[0].lower().rstrip(".")


@lru_cache(1024)
def bucket_of(host: str) -> str | None:
    """The bucket of a virtual-hosted S3 request: `b.localhost:4566`, `b.s3.localhost`, `b.s3.us-east-1.amazonaws.com`."""
    name = name_of(host)
    aws = _AWS.match(name)
    if aws:
        found = _S3.match(aws["labels"])
        return found["bucket"] if found else None
    if name.endswith(".localhost"):
        labels = name[: -len(".localhost")]
        found = _S3.match(labels)
        return found["bucket"] if found else labels
    return None


@lru_cache(1024)
def services_of(host: str) -> tuple[Entry, ...]:
    """The services that live under an AWS host name (or `<service>.localhost`); empty where it names none."""
    name = name_of(host)
    aws = _AWS.match(name)
    labels = aws["labels"] if aws else name.removesuffix(".localhost") if name.endswith(".localhost") else ""
    if not labels:
        return ()
    if aws and _S3.match(labels):
        return (catalogue().by_service["s3"],)
    if aws and ".s3-control." in f".{labels}.":
        return (catalogue().by_service["s3control"],)
    parts = labels.split(".")
    if _REGION.match(parts[-1]):
        parts.pop()
    elif len(parts) > 1 and _REGION.match(parts[0]):
        parts.pop(0)
    return _by_endpoint(".".join(parts))


def _by_endpoint(labels: str) -> tuple[Entry, ...]:
    known = catalogue().by_endpoint
    labels = _FURTHER.get(labels, labels)
    for prefix in ("", *_HOST_PREFIXES):
        if labels.startswith(prefix) and (found := known.get(labels[len(prefix) :])):
            return tuple(found)
    while "." in labels:
        labels = labels.partition(".")[2]
        if found := known.get(labels):
            return tuple(found)
    return ()
