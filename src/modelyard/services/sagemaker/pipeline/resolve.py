"""References filled in while an execution runs. What is not there raises Unresolved, which fails the step in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.pipeline.references import BadReference, parse, path_of
from modelyard.services.sagemaker.pipeline.shapes import text_of

LARGEST_FILE = 2 * 1024 * 1024
NAMES = ("OutputName", "InputName", "ChannelName", "MetricName", "ParameterName", "Name", "Key")
"""What `Outputs['train']` finds an item of a list by."""


class Unresolved(ValueError):
    """A reference to something that is not there."""


class Resolver:
    """`document(step name)` answers what Describe says of a step's job; `read(bucket, key, limit)` an object as the pipeline's role, None where
    it is larger; `property_file(step, name)` its place in S3."""

    def __init__(
        self,
        parameters: Mapping[str, Any],
        variables: Mapping[str, Any],
        document: Callable[[str], Any],
        property_file: Callable[[str, str], str],
        read: Callable[[str, str, int], bytes | None],
    ) -> None:
        self._parameters, self._variables, self._document = parameters, variables, document
        self._property_file, self._read = property_file, read

    def fill(self, value: Any) -> Any:
        """The value with every reference and function replaced by what it stands for."""
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, inside),) = value.items()
            if name == "Get" and isinstance(inside, str):
                return self._get(inside)
            if name == "Std:Join":
                return text_of(self.fill(inside.get("On", ""))).join(text_of(self.fill(one)) for one in inside.get("Values", []))
            if name == "Std:JsonGet":
                return self._json_get(inside)
        return {key: self.fill(item) for key, item in value.items()}

    def _get(self, text: str) -> Any:
        try:
            found = parse(text)
        except BadReference as problem:
            raise Unresolved(str(problem)) from None
        if found.kind == "Steps":
            return value_at(self._document(found.name), found.path, text)
        values = self._parameters if found.kind == "Parameters" else self._variables
        if found.name not in values:
            raise Unresolved(f"'{text}' has no value here")
        return values[found.name]

    def _json_get(self, inside: Mapping[str, Any]) -> Any:
        if "S3Uri" in inside:
            uri = text_of(self.fill(inside["S3Uri"]))
        else:
            named = inside.get("PropertyFile")
            found = parse(named["Get"] if isinstance(named, dict) else named)
            uri = self._property_file(found.name, str(found.path[-1]))
        path = text_of(self.fill(inside.get("Path", "")))
        return value_at(self._file(uri), _path(path), f"{path} of {uri}")

    def _file(self, uri: str) -> Any:
        try:
            bucket, key = parse_s3_uri(uri, "propertyFile")
            data = self._read(bucket, key, LARGEST_FILE)
        except ApiError as problem:
            raise Unresolved(f"the property file {uri} cannot be read: {problem.message}") from None
        if data is None:
            raise Unresolved(f"the property file {uri} is larger than {LARGEST_FILE} bytes")
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as problem:
            raise Unresolved(f"the property file {uri} is not JSON ({problem})") from None


def value_at(document: Any, path: tuple[str | int, ...], what: str) -> Any:
    value = document
    for piece in path:
        value = _member(value, piece, what)
    return value


def _member(value: Any, piece: str | int, what: str) -> Any:
    if isinstance(value, list):
        if isinstance(piece, str) and piece.isdigit():
            piece = int(piece)
        if isinstance(piece, int) and piece < len(value):
            return value[piece]
        for item in value:
            if isinstance(item, dict) and any(item.get(name) == piece for name in NAMES):
                return item
    elif isinstance(value, dict) and str(piece) in value:
        return value[str(piece)]
    raise Unresolved(f"there is no '{piece}' in '{what}'")


def _path(text: str) -> tuple[str | int, ...]:
    try:
        return path_of(text)
    except BadReference as problem:
        raise Unresolved(str(problem)) from None


def stamp(at: float) -> str:
    """StartDateTime and CurrentDateTime."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
