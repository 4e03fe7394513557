"""botocore's protocol test cases, as data: a folder with `input/*.json` and `output/*.json`.

A file is a list of suites `{metadata, shapes, cases}`; an input case has `params` and the `serialized` request they become,
an output case a `response` and the `result` it is read as. Here they run the other way round: the request is given to our
parser, the result to our serialiser, whose answer botocore's own parser then reads.
"""

from __future__ import annotations

import base64
import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import HeadersDict
from botocore.model import OperationModel, ServiceModel
from botocore.parsers import PROTOCOL_PARSERS

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import BytesBody
from modelyard.wire import rest_routes, routing
from modelyard.wire.codec import Codec, codec_for
from modelyard.wire.http import HttpRequest, HttpResponse
from modelyard.wire.shapes import Model, Shape


@dataclass(frozen=True)
class Case:
    name: str
    suite: dict[str, Any]
    case: dict[str, Any]

    @property
    def operation(self) -> str:
        return self.case["given"].get("name", "OperationName")

    @property
    def protocol(self) -> str:
        return self.suite["metadata"]["protocol"]

    def raw_model(self) -> dict[str, Any]:
        given = {"name": self.operation, "http": {"method": "POST", "requestUri": "/"}, **self.case["given"]}
        return {"metadata": self.suite["metadata"], "shapes": self.suite["shapes"], "operations": {self.operation: given}}

    def codec(self) -> Codec:
        return codec_for(Model(self.raw_model(), "case"), self.operation, self.protocol)


def cases(folder: Path, side: str) -> Iterator[Case]:
    for file in sorted((folder / side).glob("*.json")):
        for number, suite in enumerate(json.loads(file.read_text())):
            for index, case in enumerate(suite["cases"]):
                name = case.get("id") or f"{number}:{index}"
                yield Case(f"{file.stem}/{name}", suite, case)


# --- requests ----------------------------------------------------------------------------------


def parsed_request(case: Case) -> dict[str, Any]:
    """What our parser makes of the request of an input case."""
    said, used = case.case["serialized"], case.codec()
    url = urlsplit(said.get("uri", "/"))
    body = said.get("body", "")
    body = base64.b64decode(body) if case.protocol == "smithy-rpc-v2-cbor" else body.encode()
    headers = [(k.lower(), v) for k, v in said.get("headers", {}).items()]
    request = HttpRequest(said.get("method", "POST"), url.path, url.query, headers, BytesBody(body))
    query = routing.parse_query(url.query)
    values: dict[str, str] = {}
    if case.protocol in routing.REST:
        found = rest_routes.RestRoutes(used.model).find(request.method, request.path, query, dict(headers))
        assert found is not None, f"no operation for {request.method} {request.path}"
        values = found[1]
    route = routing.Route("case", case.operation, case.protocol, values, query)
    parsed = used.parse(route, request, BytesBody(body) if used.streams_in else body)
    return {k: v.read() if isinstance(v, BytesBody) else v for k, v in parsed.items()}


# --- responses ---------------------------------------------------------------------------------


def our_response(case: Case) -> HttpResponse:
    """What our serialiser makes of the result of an output case."""
    used = case.codec()
    if "error" in case.case:
        code = case.case.get("errorCode", "Unknown")
        fields = {k: v for k, v in case.case["error"].items() if k.lower() != "message"}
        status = case.case["response"]["status_code"]
        return used.error(ApiError(code, case.case.get("errorMessage", ""), status, fields=fields), "rid")
    result = to_python(used.output, case.case["result"]) if used.output else case.case["result"]
    if used.event_stream and (stream := result.get(used.event_stream[0])) is not None:
        result[used.event_stream[0]] = iter(stream)
    return used.serialise(result, "rid", strict=True)


def read_by_botocore(case: Case, answer: HttpResponse) -> dict[str, Any]:
    """Our answer as botocore's parser reads it."""
    service = ServiceModel(copy.deepcopy(case.raw_model()))
    operation = OperationModel(copy.deepcopy(case.raw_model()["operations"][case.operation]), service)
    parser, shape = PROTOCOL_PARSERS[case.protocol](), operation.output_shape
    if case.protocol == "query" and shape is not None:
        shape.serialization.setdefault("resultWrapper", f"{case.operation}Result")
    body: Any = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
    if operation.has_event_stream_output:
        body = _Stream(body)
    raw = {
        "status_code": answer.status,
        "headers": HeadersDict(answer.headers),
        "body": body,
        "context": {"operation_name": case.operation},
    }
    parsed = parser.parse(raw, shape)
    if "error" in case.case:
        error_shape = service.shape_for_error_code(parsed["Error"]["Code"])
        parsed.update(parser.parse(raw, error_shape))
    parsed.pop("ResponseMetadata", None)
    if operation.has_event_stream_output:
        parsed = {
            k: list(v) if k == operation.get_event_stream_output().name or hasattr(v, "_raw_stream") else v for k, v in parsed.items()
        }
    return parsed


class _Stream:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self):
        yield self._data


# --- values ------------------------------------------------------------------------------------


def to_python(shape: Shape, value: Any) -> Any:
    """A value of a case file (blobs as text, NaN as a word) as the platform has it."""
    if value is None or shape.is_document:
        return value
    if shape.is_event_stream:
        return [{name: to_python(shape.members[name], event[name]) for name in event} for event in value]
    match shape.kind:
        case "structure":
            return {k: to_python(shape.members[k], v) for k, v in value.items() if k in shape.members and v is not None}
        case "list":
            return [to_python(shape.member, item) for item in value]
        case "map":
            return {k: to_python(shape.value, item) for k, item in value.items()}
        case "blob":
            return value.encode() if isinstance(value, str) else value
        case "float" | "double":
            return float(value)
        case "timestamp":
            return value.timestamp() if hasattr(value, "timestamp") else value
    return value


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right):
        return True
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right
