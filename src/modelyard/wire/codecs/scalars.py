"""Scalars on the wire: timestamps, numbers, booleans and blobs as text.

Inside the platform a timestamp is epoch seconds (float). On the wire it has one of three formats (Smithy's
`timestampFormat`): `unixTimestamp` (a number), `iso8601` and `rfc822` (an HTTP date). Each protocol has a default for
bodies, headers are `rfc822` and query strings `iso8601` where the model does not say.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import Any

from modelyard.kernel.errors import ApiError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?(?:([Zz])|([+-]\d\d):?(\d\d))?\Z")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")
_INTEGER = re.compile(r"[+-]?\d{1,20}\Z")


class Malformed(ApiError):
    """A value that has not the form of its type: SerializationException, or what the service calls it."""

    def __init__(self, message: str) -> None:
        super().__init__("SerializationException", message, 400)


# --- reading -----------------------------------------------------------------------------------


def read_boolean(text: str) -> bool:
    if text in ("true", "True", "1"):
        return True
    if text in ("false", "False", "0"):
        return False
    raise Malformed(f"'{_short(text)}' can not be converted to a Boolean")


def read_integer(text: str) -> int:
    if not _INTEGER.match(text.strip()):
        raise Malformed(f"'{_short(text)}' can not be converted to an Integer")
    return int(text)


def read_float(text: str) -> float:
    text = text.strip()
    if _NUMBER.match(text):
        return float(text)
    return special_float(text)


def special_float(text: str) -> float:
    """`NaN`, `Infinity`, `-Infinity`: the only floats that are words."""
    if text in ("NaN", "Infinity", "-Infinity"):
        return float(text)
    raise Malformed(f"'{_short(text)}' can not be converted to a Double")


def read_blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("the value of a blob is not base64")


def read_iso8601(text: str) -> float:
    found = _ISO.match(text.strip())
    if not found:
        raise Malformed(f"'{_short(text)}' is not an ISO 8601 timestamp")
    year, month, day, hour, minute, second, fraction, _, zone_hours, zone_minutes = found.groups()
    try:
        when = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), min(int(second or 0), 59), tzinfo=UTC)
    except ValueError:
        raise Malformed(f"'{_short(text)}' is not an ISO 8601 timestamp")
    seconds = (when - _EPOCH).total_seconds() + float(fraction or 0)
    if zone_hours:
        minutes = int(zone_minutes)
        seconds -= int(zone_hours) * 3600 + (-minutes if zone_hours[0] == "-" else minutes) * 60
    return seconds


def read_rfc822(text: str) -> float:
    try:
        when = parsedate_to_datetime(text.strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        raise Malformed(f"'{_short(text)}' is not an HTTP date")


def read_timestamp(text: str) -> float:
    """Any of the three formats: clients disagree about defaults, and none of them can be mistaken for another."""
    if _NUMBER.match(text.strip()):
        return float(text)
    return read_iso8601(text) if text.strip()[:1].isdigit() else read_rfc822(text)


TEXT_READERS: dict[str, Callable[[str], Any]] = {
    "boolean": read_boolean,
    "integer": read_integer,
    "long": read_integer,
    "float": read_float,
    "double": read_float,
    "timestamp": read_timestamp,
    "blob": read_blob,
}
"""By the kind of the shape; strings and characters need none."""


# --- writing -----------------------------------------------------------------------------------


def epoch(value: Any) -> float:
    """A timestamp of a response (epoch seconds, datetime or ISO text) as epoch seconds."""
    if isinstance(value, datetime):
        return ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH).total_seconds()
    return read_timestamp(value) if isinstance(value, str) else value


def write_unix(value: Any) -> int | float:
    """Epoch seconds to the millisecond, as AWS's JSON services write them."""
    seconds = round(epoch(value), 3)
    return int(seconds) if seconds == int(seconds) else seconds


def write_iso8601(value: Any) -> str:
    """`2026-01-02T03:04:05Z`, with milliseconds where there are any."""
    text = write_iso8601_ms(value)
    return text[:-5] + "Z" if text.endswith(".000Z") else text


def write_iso8601_s(value: Any) -> str:
    """`2026-01-02T03:04:05Z`: IAM and STS never write a fraction of a second."""
    return write_iso8601_ms(math.floor(epoch(value)))[:-5] + "Z"


def write_iso8601_ms(value: Any) -> str:
    """`2026-01-02T03:04:05.678Z`: EC2 always writes three digits."""
    milliseconds = round(epoch(value) * 1000)
    when = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{when.year:04}-{when.month:02}-{when.day:02}T{when.hour:02}:{when.minute:02}:{when.second:02}.{milliseconds % 1000:03}Z"


def write_iso8601_s3(value: Any) -> str:
    """`2026-01-02T03:04:05.000Z`: S3 keeps whole seconds (Last-Modified is an HTTP date) and always writes three digits."""
    return write_iso8601_ms(math.floor(epoch(value)))


def write_rfc822(value: Any) -> str:
    return _http_date(math.floor(epoch(value)))


@lru_cache(4096)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def write_unix_text(value: Any) -> str:
    return repr(write_unix(value))


TIMESTAMP_WRITERS: dict[str, Callable[[Any], str]] = {
    "unixTimestamp": write_unix_text,
    "iso8601": write_iso8601,
    "rfc822": write_rfc822,
}


def write_boolean(value: Any) -> str:
    return "true" if value else "false"


def write_integer(value: Any) -> str:
    return str(int(value))


def write_float(value: Any) -> str:
    number = float(value)
    return repr(number) if math.isfinite(number) else float_word(number)


def float_word(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def write_blob(value: Any) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


TEXT_WRITERS: dict[str, Callable[[Any], str]] = {
    "boolean": write_boolean,
    "integer": write_integer,
    "long": write_integer,
    "float": write_float,
    "double": write_float,
    "blob": write_blob,
}


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:100] + "…"
