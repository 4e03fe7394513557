"""JSON values: the bodies of `json` 1.0/1.1, of `rest-json`, and of events in JSON event streams."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson

from modelyard.wire.codecs import arrays, scalars
from modelyard.wire.codecs.common import Compiled, Compiler, answer_members, body_members
from modelyard.wire.codecs.scalars import Malformed
from modelyard.wire.shapes import Shape

_INTEGER_LIMIT = {"integer": 1 << 31, "long": 1 << 63}
_ARTICLE = {"string": "a String", "character": "a String", "integer": "an Integer", "long": "a Long", "boolean": "a Boolean"}


def loads(body: bytes) -> Any:
    """The body as a JSON value; anything that is not JSON is a SerializationException."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Malformed("Unable to parse the request body: it is not valid JSON")


def dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


class JsonReader(Compiler):
    """JSON values to members. Types are checked (a wrong one is AWS's SerializationException), unknown members dropped."""

    def structure(self, shape: Shape) -> Compiled:
        if shape.is_document:
            return _as_it_is
        known = {member.trait("locationName", name): (name, self.compile(member)) for name, member in body_members(shape).items()}
        find = known.get

        def read(value: Any) -> dict[str, Any]:
            if value.__class__ is not dict:
                raise _not_a(value, "structure")
            out = {}
            for key, item in value.items():
                if item is not None and (entry := find(key)) is not None:
                    name, convert = entry
                    out[name] = item if convert is None else convert(item)
            return out

        return read

    def list(self, shape: Shape) -> Compiled:
        convert = self.compile(shape.member)

        def read(value: Any) -> list[Any]:
            if value.__class__ is not list:
                raise _not_a(value, "list")
            if convert is None:
                return value
            return [None if item is None else convert(item) for item in value]

        return read

    def map(self, shape: Shape) -> Compiled:
        convert = self.compile(shape.value)
        sparse = bool(shape.trait("sparse"))

        def read(value: Any) -> dict[str, Any]:
            if value.__class__ is not dict:
                raise _not_a(value, "map")
            return {key: None if item is None else convert(item) for key, item in value.items() if item is not None or sparse}

        return read

    def scalar(self, shape: Shape) -> Compiled | None:
        kind = shape.kind
        if kind in _INTEGER_LIMIT:
            return _integer_reader(kind)
        return {"boolean": _boolean, "float": _float, "double": _float, "timestamp": _timestamp, "blob": _blob}.get(kind, _string)


class JsonWriter(Compiler):
    """Members to JSON values that orjson writes."""

    def structure(self, shape: Shape) -> Compiled | None:
        if shape.is_document:
            return _as_it_is
        known = {name: (member.trait("locationName", name), self.compile(member)) for name, member in answer_members(shape).items()}
        find, unknown = known.get, self.unknown

        def write(value: dict[str, Any]) -> dict[str, Any]:
            out = {}
            for name, item in value.items():
                entry = find(name)
                if entry is None:
                    unknown(shape, name)
                elif item is not None:
                    key, convert = entry
                    out[key] = item if convert is None else convert(item)
            return out

        return write

    def list(self, shape: Shape) -> Compiled:
        convert = self.compile(shape.member)
        if convert is None:
            return list
        if shape.member.kind in ("double", "timestamp"):
            many, times = self.many, shape.member.kind == "timestamp"
            return lambda value: (
                many(value, times) if arrays.is_array(value) else [None if item is None else convert(item) for item in value]
            )
        return lambda value: [None if item is None else convert(item) for item in value]

    many = staticmethod(arrays.json)

    def map(self, shape: Shape) -> Compiled:
        convert = self.compile(shape.value)
        if convert is None:
            return dict
        return lambda value: {key: None if item is None else convert(item) for key, item in value.items()}

    def scalar(self, shape: Shape) -> Compiled | None:
        if shape.kind == "timestamp":
            return json_timestamp(shape)
        return {"float": _write_float, "double": _write_float, "blob": scalars.write_blob, "boolean": bool}.get(shape.kind)


def json_timestamp(shape: Shape) -> Callable[[Any], Any]:
    said = shape.trait("timestampFormat", "unixTimestamp")
    return scalars.write_unix if said == "unixTimestamp" else scalars.TIMESTAMP_WRITERS[said]


def _write_float(value: Any) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else scalars.float_word(number)


# --- scalars in -------------------------------------------------------------------------------


def _as_it_is(value: Any) -> Any:
    return value


def _string(value: Any) -> str:
    if value.__class__ is not str:
        raise _not_a(value, "string")
    return value


def _boolean(value: Any) -> bool:
    if value.__class__ is not bool:
        raise _not_a(value, "boolean")
    return value


def _float(value: Any) -> float:
    if value.__class__ is float or value.__class__ is int:
        return value
    if value.__class__ is str:
        return scalars.special_float(value)
    raise _not_a(value, "double")


def _integer_reader(kind: str) -> Compiled:
    limit = _INTEGER_LIMIT[kind]

    def read(value: Any) -> int:
        if value.__class__ is float and math.isfinite(value):
            value = int(value)
        if value.__class__ is not int:
            raise _not_a(value, kind)
        if not -limit <= value < limit:
            raise Malformed(f"{value} can not be converted to {_ARTICLE[kind]}")
        return value

    return read


def _timestamp(value: Any) -> float:
    if value.__class__ is float or value.__class__ is int:
        return value
    if value.__class__ is str:
        return scalars.read_timestamp(value)
    raise _not_a(value, "timestamp")


def _blob(value: Any) -> bytes:
    if value.__class__ is not str:
        raise _not_a(value, "blob")
    return scalars.read_blob(value)


def _not_a(value: Any, wanted: str) -> Malformed:
    """The texts of AWS's JSON services for a value of another type."""
    if isinstance(value, dict):
        return Malformed("Start of structure or map found where not expected.")
    if isinstance(value, list):
        return Malformed("Start of list found where not expected")
    if wanted in ("structure", "map", "list"):
        return Malformed(f"Unexpected value where a {wanted} was expected")
    token = {str: "STRING_VALUE", bool: "TRUE_VALUE" if value else "FALSE_VALUE"}.get(type(value), "NUMBER_VALUE")
    return Malformed(f"{token} can not be converted to {_ARTICLE.get(wanted, 'a ' + wanted.capitalize())}")
