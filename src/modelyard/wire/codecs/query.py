"""The protocols `query` and `ec2`: forms in, XML out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, unquote_to_bytes

from modelyard.kernel.errors import ApiError
from modelyard.wire.codecs import scalars, xml
from modelyard.wire.codecs.base import Codec
from modelyard.wire.codecs.common import Compiled, Compiler, UnmodelledMember, error_headers, error_shape
from modelyard.wire.codecs.json_rpc import LEGACY_CODES
from modelyard.wire.codecs.rest_xml import DECLARATION, error_members, message_element
from modelyard.wire.http import HttpRequest, HttpResponse
from modelyard.wire.legacy_query import queue_of_path
from modelyard.wire.shapes import Model, Shape

if TYPE_CHECKING:
    from modelyard.wire.routing import Route

MAX_PARAMETERS, MAX_DEPTH = 20_000, 32
_NAMESPACES = {"sqs": "http://queue.amazonaws.com/doc/2012-11-05/"}

Tree = dict[str, Any]
"""Parameters by the parts of their dotted names; the value of a name itself is under the empty string."""


class BadQuery(ApiError):
    def __init__(self, message: str) -> None:
        super().__init__("MalformedQueryString", message, 400)


def form_pairs(body: bytes) -> list[tuple[str, str]]:
    """`name=value&…` percent-decoded; UTF-8 or it is an error."""
    text = body.decode("latin-1")
    if text.count("&") >= MAX_PARAMETERS:
        raise BadQuery("The request has too many parameters")
    pairs = []
    try:
        for part in text.split("&"):
            if part:
                name, _, value = part.partition("=")
                pairs.append((_decode(name), _decode(value)))
    except UnicodeDecodeError:
        raise BadQuery("The query string has bytes that are not UTF-8")
    return pairs


def _decode(text: str) -> str:
    if text.isascii():
        return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode()


def tree_of(pairs: list[tuple[str, str]]) -> Tree:
    top: Tree = {}
    for name, value in pairs:
        parts = name.split(".")
        if len(parts) > MAX_DEPTH:
            raise BadQuery("A parameter name is nested too deep")
        node = top
        for part in parts:
            if part == "":
                raise BadQuery(f"The parameter name {name[:100]!r} is not valid")
            node = node.setdefault(part, {})
        node[""] = value
    return top


class QueryReader(Compiler):
    """Trees of parameters to members."""

    def member_names(self, name: str, member: Shape) -> list[str]:
        names = [member.reference.get("locationName", name)]
        if member.kind == "list" and self.is_flat(member) and "locationName" in member.member.reference:
            names.append(member.member.reference["locationName"])
        return names

    def is_flat(self, shape: Shape) -> bool:
        return bool(shape.trait("flattened"))

    def structure(self, shape: Shape) -> Compiled:
        known = [(name, self.member_names(name, member), self.compile(member)) for name, member in shape.members.items()]
        find = {key: (name, convert) for name, keys, convert in reversed(known) for key in keys}.get

        def read(tree: Tree) -> dict[str, Any]:
            out = {}
            for key, node in tree.items():
                if key and (entry := find(key)) is not None:
                    out[entry[0]] = entry[1](node)
            return out

        return read

    def list(self, shape: Shape) -> Compiled:
        convert = self.compile(shape.member)
        wrapper = None if self.is_flat(shape) else shape.member.trait("locationName", "member")

        def read(tree: Tree) -> list[Any]:
            items = tree if wrapper is None else tree.get(wrapper, _EMPTY)
            return [convert(node) for node in _numbered(items)]

        return read

    def map(self, shape: Shape) -> Compiled:
        key_name, value_name = shape.key.trait("locationName", "key"), shape.value.trait("locationName", "value")
        convert_key, convert = self.compile(shape.key), self.compile(shape.value)
        wrapped = not self.is_flat(shape)

        def read(tree: Tree) -> dict[str, Any]:
            out = {}
            for node in _numbered(tree.get("entry", _EMPTY) if wrapped else tree):
                if key_name not in node or value_name not in node:
                    raise BadQuery(f"A map entry needs both .{key_name} and .{value_name}")
                out[convert_key(node[key_name])] = convert(node[value_name])
            return out

        return read

    def scalar(self, shape: Shape) -> Compiled:
        convert = scalars.TEXT_READERS.get(shape.kind, str)

        def read(tree: Tree) -> Any:
            if "" not in tree:
                raise BadQuery("A parameter with a simple value has members")
            return convert(tree[""])

        return read


_EMPTY: Tree = {}


def _numbered(tree: Tree) -> list[Tree]:
    """The items 1, 2, … of a list, in the order of their numbers."""
    try:
        return [tree[key] for key in sorted(filter(None, tree), key=int)]
    except ValueError:
        raise BadQuery("The members of a list must be numbered")


class Ec2Reader(QueryReader):
    """EC2's variant: lists are always flat, names are capitalised."""

    def member_names(self, name: str, member: Shape) -> list[str]:
        said = member.reference.get("queryName")
        if said is None and "locationName" in member.reference:
            said = member.reference["locationName"][:1].upper() + member.reference["locationName"][1:]
        return [said or name, name[:1].upper() + name[1:]]

    def is_flat(self, shape: Shape) -> bool:
        return True if shape.kind == "list" else bool(shape.trait("flattened"))


_WHOLE_SECONDS = frozenset({"iam", "sts"})


class QueryCodec(Codec):
    protocol = "query"
    reader: type[QueryReader] = QueryReader
    timestamp: Callable[[Any], str] = staticmethod(scalars.write_iso8601)

    @cached_property
    def _read(self) -> Compiled | None:
        return self.reader().compile(self.input) if self.input else None

    @cached_property
    def _writers(self) -> dict[bool, Compiled]:
        timestamp = scalars.write_iso8601_s if self.service in _WHOLE_SECONDS else self.timestamp
        return {strict: xml.XmlWriter(strict, timestamp).contents(self.output) for strict in (False, True)}

    def read(self, route: Route, request: HttpRequest, body: bytes) -> dict[str, Any]:
        if self._read is None:
            return {}
        pairs = form_pairs(request.query.encode("latin-1", "replace")) if request.query else []
        if body:
            pairs += form_pairs(body)
        parsed = self._read(tree_of([pair for pair in pairs if not pair[0].startswith("X-Amz-")]))
        return queue_of_path(request.path, self.input.members, parsed) if self.service == "sqs" else parsed

    def serialise(self, response: dict[str, Any], request_id: str, strict: bool = False) -> HttpResponse:
        parts = [f"<{self.operation}Response{namespace(self.model)}>"]
        if self.output is not None:
            wrapper = self.output.trait("resultWrapper") or f"{self.operation}Result"
            parts.append(f"<{wrapper}>")
            self._writers[strict](response, parts.append)
            parts.append(f"</{wrapper}>")
        elif response and strict:
            raise UnmodelledMember(f"{self.operation} answers nothing, not {list(response)}")
        parts.append(f"<ResponseMetadata>{xml.text_element('RequestId', request_id)}</ResponseMetadata></{self.operation}Response>")
        return answer(200, request_id, parts)

    def error(self, error: ApiError, request_id: str) -> HttpResponse:
        return query_error(self.model, error, request_id, self.operation)


class Ec2Codec(QueryCodec):
    protocol = "ec2"
    reader = Ec2Reader
    timestamp = staticmethod(scalars.write_iso8601_ms)

    def serialise(self, response: dict[str, Any], request_id: str, strict: bool = False) -> HttpResponse:
        parts = [f"<{self.operation}Response{namespace(self.model)}>", xml.text_element("requestId", request_id)]
        if self.output is not None:
            self._writers[strict](response, parts.append)
        elif response and strict:
            raise UnmodelledMember(f"{self.operation} answers nothing, not {list(response)}")
        return answer(200, request_id, [*parts, f"</{self.operation}Response>"])

    def error(self, error: ApiError, request_id: str) -> HttpResponse:
        return ec2_error(self.model, error, request_id, self.operation)


def namespace(model: Model | None) -> str:
    uri = (model.metadata.get("xmlNamespace") or _NAMESPACES.get(model.name)) if model else None
    return f' xmlns="{xml.escape_attribute(uri)}"' if uri else ""


def answer(status: int, request_id: str, parts: list[str]) -> HttpResponse:
    headers = [("x-amzn-requestid", request_id), ("content-type", "text/xml")]
    return HttpResponse(status, headers, "".join(parts).encode())


def query_error(model: Model | None, error: ApiError, request_id: str, operation: str | None = None) -> HttpResponse:
    shape = error_shape(model, error, operation)
    code = LEGACY_CODES.get((model.name, error.code), error.code) if model else error.code
    fault = "Sender" if error.sender_fault else "Receiver"
    parts = [f"<ErrorResponse{namespace(model)}><Error>", xml.text_element("Type", fault), xml.text_element("Code", code)]
    parts += [*message_element(error), *error_members(shape, error.fields)]
    parts += ["</Error>", xml.text_element("RequestId", request_id), "</ErrorResponse>"]
    found = answer(error.status, request_id, parts)
    found.headers += error_headers(error)
    return found


def ec2_error(model: Model | None, error: ApiError, request_id: str, operation: str | None = None) -> HttpResponse:
    shape = error_shape(model, error, operation)
    parts = [DECLARATION, "<Response><Errors><Error>", xml.text_element("Code", error.code), *message_element(error)]
    parts += [*error_members(shape, error.fields), "</Error></Errors>", xml.text_element("RequestID", request_id), "</Response>"]
    found = answer(error.status, request_id, parts)
    found.headers += error_headers(error)
    return found
