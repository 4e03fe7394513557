"""S3's requests and answers as its events tell them: by the names of the wire, with the bucket, the host and what the query asks for.

Source: the examples of "CloudTrail log file entries for Amazon S3" in the S3 user guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel import models
from modelyard.kernel.service import Call
from modelyard.services.cloudtrail.redact import Redacted

_URI = {"Bucket": "bucketName", "Key": "key"}


def request(call: Call, hidden: Redacted) -> dict[str, Any] | None:
    """`hidden` is the request under its own names, without secrets."""
    if hidden.value is None:
        return None
    operation = models.service_model("s3")["operations"][call.operation]
    members = models.service_model("s3")["shapes"][operation["input"]["shape"]]["members"] if "input" in operation else {}
    found: dict[str, Any] = {"Host": call.host} if call.host else {}
    for name in filter(None, operation["http"]["requestUri"].partition("?")[2].split("&")):
        key, _, value = name.partition("=")
        found[key] = value
    for name, value in hidden.value.items():
        member = members[name]
        where, wire = member.get("location"), member.get("locationName", name)
        if where == "uri":
            found[_URI[name]] = value
        elif where == "header" and not wire.lower().startswith("x-amz-"):
            continue
        elif where in ("header", "querystring"):
            found[wire] = value if isinstance(value, (str, bool)) else str(value)
        elif call.operation == "PutBucketPolicy":
            found["bucketPolicy"] = _parsed(value)
        elif where is None:
            found[wire] = value
    return found


def _parsed(text: Any) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def answer(call: Call, hidden: Redacted) -> dict[str, Any] | None:
    """Headers of the answer that tell what was done."""
    output = models.service_model("s3")["operations"][call.operation].get("output", {}).get("shape")
    members = models.service_model("s3")["shapes"][output]["members"] if output else {}
    found = {}
    for name, value in (hidden.value or {}).items():
        member = members[name]
        if member.get("location") == "header" and member["locationName"].lower().startswith("x-amz-"):
            found[member["locationName"]] = value if isinstance(value, str) else str(value)
    return found or None


def additional(call: Call, asked: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """How it was signed, and how many bytes went which way."""
    found: dict[str, Any] = {}
    if call.auth is not None:
        found["SignatureVersion"] = "SigV2" if call.auth.version == 2 else "SigV4"
        found["AuthenticationMethod"] = "QueryString" if call.auth.expires_s is not None else "AuthHeader"
    found["bytesTransferredIn"] = _length(asked)
    found["bytesTransferredOut"] = _length(said) if call.operation == "GetObject" else 0
    return found


def _length(message: Mapping[str, Any]) -> int:
    size = message.get("ContentLength", 0)
    return size if isinstance(size, int) else 0
