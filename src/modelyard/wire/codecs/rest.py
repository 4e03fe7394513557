"""HTTP bindings of `rest-json` and `rest-xml`: where members live when they are not in the body."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Body
from modelyard.wire.codecs import scalars
from modelyard.wire.codecs.base import Codec
from modelyard.wire.codecs.common import UnmodelledMember, answer_members
from modelyard.wire.codecs.scalars import Malformed
from modelyard.wire.http import Headers, HttpRequest, HttpResponse
from modelyard.wire.shapes import Shape

if TYPE_CHECKING:
    from modelyard.wire.routing import Route

Take = Callable[["Route", HttpRequest, dict[str, Any]], None]


ACCEPTED_KEPT, ACCEPTED_BYTES = 256, 1024
"""How many sets of members are remembered per operation, and how long they may be together."""


class RestCodec(Codec):
    """Bindings both ways; subclasses read and write the body."""

    hoisted_headers = False
    """S3: headers may come in the query string instead (presigned URLs)."""

    # --- in -------------------------------------------------------------------------------------

    @cached_property
    def _takes(self) -> list[Take]:
        takes = []
        for name, member in (self.input.members if self.input else {}).items():
            maker = _TAKES.get(member.location or "")
            if maker is not None:
                takes.append(maker(name, member, self))
        if self.hoisted_headers and (hoisted := {h: (n, c) for h, n, c in self._header_members if h.startswith("x-amz-")}):
            takes.append(_take_hoisted(hoisted))
        return takes

    def accept(self, route: Route, request: HttpRequest, body: bytes | Body) -> dict[str, Any]:
        """Where all but a blob comes by path and headers, and these were seen and found good before, only the blob is looked at."""
        bounds = self.blob_bounds
        if bounds is None or len(request.index) != len(request.headers) or not isinstance(body, bytes):
            return super().accept(route, request, body)
        name, least, most = bounds
        if not body or not least <= len(body) <= most:
            return super().accept(route, request, body)
        key = (*route.path_values.items(), *map(request.index.get, self.header_names))
        kept = self._accepted.get(key)
        if kept is None:
            parsed = super().accept(route, request, body)
            kept = {member: value for member, value in parsed.items() if member != name}
            if sum(map(len, filter(None, key))) <= ACCEPTED_BYTES and all(isinstance(value, str) for value in kept.values()):
                if len(self._accepted) >= ACCEPTED_KEPT:
                    self._accepted.clear()
                self._accepted[key] = kept
        return {name: body, **kept}

    @cached_property
    def _accepted(self) -> dict[tuple[Any, ...], dict[str, str]]:
        return {}

    @cached_property
    def header_names(self) -> tuple[str, ...]:
        return tuple(header for header, _, _ in self._header_members)

    @cached_property
    def blob_bounds(self) -> tuple[str, int, int] | None:
        """(payload, least, most bytes) of an operation whose payload is a plain blob and whose other members are single headers and
        labels of the path; None: it is another one."""
        payload = self.input.trait("payload") if self.input else None
        if payload is None or self.streams_in or self._unpacks or self.hoisted_headers or self.input.members[payload].kind != "blob":
            return None
        if any(member.location not in ("uri", "header") for name, member in self.input.members.items() if name != payload):
            return None
        blob = self.input.members[payload]
        return payload, blob.trait("min", 0), blob.trait("max", 1 << 62)

    def read(self, route: Route, request: HttpRequest, body: bytes | Body) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if self.input is None:
            return out
        payload = self.input.trait("payload")
        if payload is None:
            out.update(self.read_body(body))
        else:
            shape = self.input.members[payload]
            if shape.kind == "blob":
                if shape.is_streaming or body or payload in self.input.required:
                    out[payload] = body
            elif shape.is_event_stream:
                raise ApiError("NotImplemented", f"Modelyard does not take event streams in requests: {self.operation}", 501)
            elif body:
                out[payload] = _utf8(body) if shape.kind in ("string", "character") else self.read_payload(body)
        if self._header_members:
            self._take_headers(request, out)
        for take in self._takes:
            take(route, request, out)
        return out

    @cached_property
    def _header_members(self) -> list[tuple[str, str, Callable[[str], Any]]]:
        """(header, member, reader) of the members that are one header each."""
        members = self.input.members.items() if self.input else ()
        return [(_header_name(name, m), name, _header_reader(m)) for name, m in members if m.location == "header"]

    def _take_headers(self, request: HttpRequest, out: dict[str, Any]) -> None:
        """One look per member: some operations have dozens of them."""
        index = request.index
        repeated = len(index) != len(request.headers)
        for header, name, convert in self._header_members:
            if header in index:
                value = ",".join(v for h, v in request.headers if h == header) if repeated else index[header]
                out[name] = convert(value)

    def read_body(self, body: bytes) -> dict[str, Any]:
        raise NotImplementedError

    def read_payload(self, body: bytes) -> Any:
        raise NotImplementedError

    @property
    def payload_shape(self) -> Shape:
        return self.input.members[self.input.trait("payload")]

    # --- out ------------------------------------------------------------------------------------

    @cached_property
    def _puts(self) -> dict[str, Callable[[Any, Headers], None]]:
        return _puts(self.output)

    def bind(self, response: dict[str, Any], strict: bool) -> tuple[int, Headers]:
        """Status and headers of the response's members."""
        status, headers, puts = self.http.get("responseCode", 200), [], self._puts
        if self.output is None:
            if response and strict:
                raise UnmodelledMember(f"{self.operation} answers nothing, not {list(response)}")
            return status, headers
        for name, value in response.items():
            put = puts.get(name)
            if put is not None and value is not None:
                put(value, headers)
            elif name in self._status_members and value is not None:
                status = int(value)
            elif strict and name not in self.output.members:
                raise UnmodelledMember(f"{self.output.name} has no member {name!r}")
        return status, headers

    @cached_property
    def _status_members(self) -> set[str]:
        return {name for name, member in self.output.members.items() if member.location == "statusCode"} if self.output else set()

    def blob_answer(self, status: int, headers: Headers, value: Any) -> HttpResponse:
        """A payload that is bytes (or text, an iterator, a FileSlice) as it is."""
        for name, _ in headers:
            if name == "content-type":
                break
        else:
            headers.append(("content-type", "application/octet-stream"))
        return HttpResponse(status, headers, value.encode() if isinstance(value, str) else b"" if value is None else value)


def error_bindings(shape: Shape | None, fields: dict[str, Any]) -> tuple[Headers, dict[str, Any]]:
    """Headers of an error's members, and the members that are left for its body."""
    if shape is None:
        return [], fields
    headers: Headers = []
    puts = _puts(shape)
    for name, value in fields.items():
        if name in puts and value is not None:
            puts[name](value, headers)
    return headers, {name: value for name, value in fields.items() if name not in puts}


def has_body(shape: Shape | None) -> bool:
    return shape is not None and bool(answer_members(shape))


# --- request members ---------------------------------------------------------------------------


def _take_label(name: str, member: Shape, codec: RestCodec) -> Take:
    label, convert = member.trait("locationName", name), scalars.TEXT_READERS.get(member.kind, str)

    def take(route: Route, request: HttpRequest, out: dict[str, Any]) -> None:
        if label in route.path_values:
            out[name] = convert(route.path_values[label])

    return take


def _take_query(name: str, member: Shape, codec: RestCodec) -> Take:
    key = member.trait("locationName", name)
    if member.kind == "map":
        bound = {m.trait("locationName", n) for n, m in codec.input.members.items() if m.location == "querystring" and m is not member}
        bound |= {part.partition("=")[0] for part in codec.http["requestUri"].partition("?")[2].split("&")}
        many = member.value.kind == "list"

        def take_map(route: Route, request: HttpRequest, out: dict[str, Any]) -> None:
            left = {k: list(v) if many else v[-1] for k, v in route.query.items() if k not in bound}
            if left:
                out[name] = left

        return take_map
    if member.kind == "list":
        convert = scalars.TEXT_READERS.get(member.member.kind, str)

        def take_list(route: Route, request: HttpRequest, out: dict[str, Any]) -> None:
            if key in route.query:
                out[name] = [convert(value) for value in route.query[key]]

        return take_list
    convert_one = scalars.TEXT_READERS.get(member.kind, str)

    def take(route: Route, request: HttpRequest, out: dict[str, Any]) -> None:
        if key in route.query:
            out[name] = convert_one(route.query[key][-1])

    return take


def _header_name(name: str, member: Shape) -> str:
    return member.trait("locationName", name).lower()


def _take_hoisted(members: dict[str, tuple[str, Callable[[str], Any]]]) -> Take:
    """S3's x-amz-* headers in the query string of a presigned URL: (member, reader) by header. What a header says goes first."""

    def take(route: Route, request: HttpRequest, out: dict[str, Any]) -> None:
        for key, found in route.query.items():
            known = members.get(key.lower())
            if known is not None and key.lower() not in request.index:
                out[known[0]] = known[1](found[-1])

    return take


def _take_headers(name: str, member: Shape, codec: RestCodec) -> Take:
    prefix = member.trait("locationName", "").lower()

    def take(route: Route, request: HttpRequest, out: dict[str, Any]) -> None:
        pairs: Iterable[tuple[str, str]] = request.headers
        if codec.hoisted_headers:
            pairs = [*((key.lower(), values[-1]) for key, values in route.query.items()), *request.headers]
        found: dict[str, str] = {}
        for key, value in pairs:
            if key.startswith(prefix):
                short = key[len(prefix) :]
                found[short] = f"{found[short]},{value}" if short in found else value
        if found:
            out[name] = found

    return take


_TAKES = {"uri": _take_label, "querystring": _take_query, "headers": _take_headers}


def _header_reader(member: Shape) -> Callable[[str], Any]:
    if member.kind == "list":
        convert = scalars.TEXT_READERS.get(member.member.kind)
        if member.member.kind == "timestamp" and member.member.trait("timestampFormat", "rfc822") == "rfc822":
            return lambda text: [scalars.read_rfc822(part) for part in _DATES.findall(text)]
        return lambda text: [convert(part) if convert else part for part in _split_list(text)]
    if member.trait("jsonvalue"):
        return _json_value
    return scalars.TEXT_READERS.get(member.kind, str)


_DATES = re.compile(r"[A-Za-z]{3,9}, [^,]+")
_ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,]*))\s*(?:,|\Z)')


def _split_list(text: str) -> list[str]:
    """The items of a comma-separated header; quoted ones may contain commas (RFC 9110 5.6)."""
    items, at = [], 0
    while at < len(text):
        found = _ITEM.match(text, at)
        if found is None:
            raise Malformed("a header list is not well-formed")
        quoted, plain = found.groups()
        items.append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain.strip())
        at = found.end()
    return items


def _json_value(text: str) -> Any:
    try:
        return orjson.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise Malformed("a header is not base64 of a JSON value")


def _utf8(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Malformed("the request body is not UTF-8")


# --- response members --------------------------------------------------------------------------


def _puts(shape: Shape | None) -> dict[str, Callable[[Any, Headers], None]]:
    puts = {}
    for name, member in (shape.members if shape else {}).items():
        if member.location == "header":
            puts[name] = _put_header(member.trait("locationName", name).lower(), header_writer(member))
        elif member.location == "headers":
            puts[name] = _put_headers(member.trait("locationName", "").lower())
    return puts


def _put_header(key: str, convert: Callable[[Any], str]) -> Callable[[Any, Headers], None]:
    def put(value: Any, headers: Headers) -> None:
        headers.append((key, _line(convert(value))))

    return put


def _put_headers(prefix: str) -> Callable[[Any, Headers], None]:
    def put(value: dict[str, Any], headers: Headers) -> None:
        headers.extend((prefix + key.lower(), _line(str(item))) for key, item in value.items())

    return put


def _line(value: str) -> str:
    """A header value has one line: a stored value with line breaks must not write headers of its own."""
    return value.replace("\r", " ").replace("\n", " ") if "\n" in value or "\r" in value else value


def header_writer(member: Shape) -> Callable[[Any], str]:
    if member.kind == "timestamp":
        return scalars.TIMESTAMP_WRITERS[member.trait("timestampFormat", "rfc822")]
    if member.kind == "list":
        convert = header_writer(member.member)
        if member.member.kind == "string":
            return lambda value: ", ".join(_quote(item) for item in value)
        return lambda value: ", ".join(convert(item) for item in value)
    if member.trait("jsonvalue"):
        return lambda value: base64.b64encode(orjson.dumps(value)).decode()
    return scalars.TEXT_WRITERS.get(member.kind, str)


def _quote(item: str) -> str:
    if "," in item or '"' in item:
        return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return item
