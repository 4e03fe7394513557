"""What a message may be, and its digests as clients check them. Source: "Amazon SQS message metadata" in the developer guide."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.sqs import api
from modelyard.services.sqs.errors import bad, missing

MOST_ATTRIBUTES = 10
_NAME = re.compile(r"(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)\Z")
_TYPE = re.compile(r"(String|Number|Binary)(\..+)?\Z")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TOKEN = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}\Z")


def check_body(body: str, longest: int, attributes: Mapping[str, Any]) -> int:
    """The size that counts. Raises what SQS does for a body that is empty, too long, or has characters that XML has not."""
    if not body:
        raise missing("MessageBody")
    if _FORBIDDEN.search(body):
        raise api.error.InvalidMessageContents(
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
        )
    size = len(body.encode()) + attributes_size(attributes)
    if size > longest:
        raise bad(f"One or more parameters are invalid. Reason: Message must be shorter than {longest} bytes.")
    return size


def attributes_size(attributes: Mapping[str, Any]) -> int:
    return sum(len(name.encode()) + len(value["DataType"].encode()) + len(_raw(value)) for name, value in attributes.items())


def kept_attributes(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Message attributes as they are stored: {"DataType", "StringValue" | "BinaryValue" (base64)}."""
    kept: dict[str, Any] = {}
    for name, value in (given or {}).items():
        _check_attribute(name, value)
        kept[name] = {"DataType": value["DataType"]}
        if value["DataType"].startswith("Binary"):
            kept[name]["BinaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
        else:
            kept[name]["StringValue"] = value["StringValue"]
    if len(kept) > MOST_ATTRIBUTES:
        raise bad(f"Number of message attributes [{len(kept)}] exceeds the allowed maximum [{MOST_ATTRIBUTES}].")
    return kept


def _check_attribute(name: str, value: Mapping[str, Any]) -> None:
    if not _NAME.match(name) or name.lower().startswith(("aws.", "amazon.")):
        raise bad(
            "The message attribute name must only contain A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.), must not start with AWS. or Amazon."
        )
    kind = value.get("DataType") or ""
    if not kind:
        raise bad(f"The message attribute '{name}' must contain a non-empty message attribute type.")
    if not _TYPE.match(kind):
        raise bad(
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."
        )
    member = "BinaryValue" if kind.startswith("Binary") else "StringValue"
    if not value.get(member):
        raise bad(f"The message attribute '{name}' must contain a non-empty message attribute value for message attribute type '{kind}'.")
    if kind.startswith("Number"):
        try:
            float(value[member])
        except ValueError:
            raise bad(f"Can't cast the value of message attribute '{name}' to a number.") from None


def told_attributes(kept: Mapping[str, Any], wanted: list[str]) -> dict[str, Any]:
    """Those that ReceiveMessage asks for: `All`, `.*`, names, or prefixes `foo.*`."""
    if not wanted or not kept:
        return {}
    everything = "All" in wanted or ".*" in wanted
    prefixes = tuple(name[:-2] for name in wanted if name.endswith(".*") and name != ".*")
    return {
        name: {**value, **({"BinaryValue": base64.b64decode(value["BinaryValue"])} if "BinaryValue" in value else {})}
        for name, value in kept.items()
        if everything or name in wanted or (prefixes and name.startswith(prefixes))
    }


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def attributes_md5(attributes: Mapping[str, Any]) -> str | None:
    """Over names in order: length and bytes of name, type, one byte for text (1) or binary (2), length and bytes of the value."""
    if not attributes:
        return None
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        value = attributes[name]
        for part in (name.encode(), value["DataType"].encode()):
            digest.update(struct.pack("!I", len(part)) + part)
        raw = _raw(value)
        digest.update((b"\x02" if "BinaryValue" in value else b"\x01") + struct.pack("!I", len(raw)) + raw)
    return digest.hexdigest()


def _raw(value: Mapping[str, Any]) -> bytes:
    if "BinaryValue" in value:
        raw = value["BinaryValue"]
        return base64.b64decode(raw) if isinstance(raw, str) else raw
    return value["StringValue"].encode()


def check_token(value: str, parameter: str) -> str:
    if not _TOKEN.match(value):
        raise ApiError(
            "InvalidParameterValue",
            f"Value {value} for parameter {parameter} is invalid. Reason: {parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length.",
            400,
        )
    return value


def sequence_number(seq: int) -> str:
    """20 digits that grow, as SequenceNumber of FIFO messages."""
    return f"{18_849_496_460_467_696_128 + seq * 256:020d}"
