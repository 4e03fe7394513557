"""XML values: the bodies of `rest-xml`, and the answers of `query` and `ec2`.

Reading is made safe for strangers: no document type (so no entities of their own and no external ones), bounded depth,
size and number of elements. Writing appends strings to a list; nothing builds a tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.parsers import expat

from modelyard.kernel.errors import ApiError
from modelyard.wire.codecs import arrays, scalars
from modelyard.wire.codecs.common import Compiled, Compiler, answer_members, body_members
from modelyard.wire.shapes import Shape

MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS = 16 << 20, 64, 250_000


class BadXml(ApiError):
    """Not well-formed XML, or XML that nobody may send: S3's MalformedXML."""

    def __init__(self, message: str) -> None:
        super().__init__("MalformedXML", message, 400)


class Node:
    """An element: local name, attributes as written, own text, children."""

    __slots__ = ("attributes", "children", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes, self.text, self.children = tag, attributes, "", []

    def attribute(self, name: str) -> str | None:
        """By its name as the model writes it (`xsi:type`), whatever prefix the client chose."""
        if name in self.attributes:
            return self.attributes[name]
        local = _local(name)
        return next((value for key, value in self.attributes.items() if _local(key) == local), None)


def parse(body: bytes) -> Node:
    """The root element of a document."""
    if len(body) > MAX_BYTES:
        raise BadXml("The XML you provided is too long")
    top = Node("", {})
    stack, count, text = [top], 0, []

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(stack) > MAX_DEPTH or count > MAX_ELEMENTS:
            raise BadXml("The XML you provided is nested too deep or has too many elements")
        text.clear()
        node = Node(_local(tag), attributes)
        stack[-1].children.append(node)
        stack.append(node)

    def end(tag: str) -> None:
        node = stack.pop()
        if not node.children:
            node.text = "".join(text)
        text.clear()

    def doctype(*_: Any) -> None:
        raise BadXml("The XML you provided has a document type declaration, which is not allowed")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = doctype
    parser.buffer_text = True
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError):
        raise BadXml("The XML you provided was not well-formed or did not validate against our published schema")
    return top.children[0]


def _local(tag: str) -> str:
    return tag.rsplit(":", 1)[-1]


# --- reading -----------------------------------------------------------------------------------


class XmlReader(Compiler):
    """Elements to members; unknown elements are dropped."""

    def structure(self, shape: Shape) -> Compiled:
        known: dict[str, tuple[str, bool, Compiled]] = {}
        attributes: list[tuple[str, str, Compiled]] = []
        for name, member in body_members(shape).items():
            convert = self.compile(member)
            if member.trait("xmlAttribute"):
                attributes.append((name, member.trait("locationName", name), TEXT.get(member.kind, str)))
                continue
            for tag in _tags(name, member):
                known.setdefault(tag, (name, _is_flat(member), convert))
        find = known.get

        def read(node: Node) -> dict[str, Any]:
            out: dict[str, Any] = {}
            repeated: dict[str, tuple[Compiled, list[Node]]] = {}
            for child in node.children:
                entry = find(child.tag)
                if entry is None:
                    continue
                name, flat, convert = entry
                if flat:
                    repeated.setdefault(name, (convert, []))[1].append(child)
                else:
                    out[name] = convert(child)
            for name, (convert, nodes) in repeated.items():
                out[name] = convert(nodes)
            for name, attribute, convert in attributes:
                if (text := node.attribute(attribute)) is not None:
                    out[name] = convert(text)
            return out

        return read

    def list(self, shape: Shape) -> Compiled:
        convert = self.compile(shape.member)
        if shape.trait("flattened"):
            return lambda nodes: [convert(node) for node in nodes]
        return lambda node: [convert(child) for child in node.children]

    def map(self, shape: Shape) -> Compiled:
        key_tag, value_tag = shape.key.trait("locationName", "key"), shape.value.trait("locationName", "value")
        convert_key, convert = self.compile(shape.key), self.compile(shape.value)

        def read(nodes: list[Node]) -> dict[str, Any]:
            out = {}
            for entry in nodes:
                parts = {child.tag: child for child in entry.children}
                if key_tag not in parts or value_tag not in parts:
                    raise BadXml("The XML you provided was not well-formed or did not validate against our published schema")
                out[convert_key(parts[key_tag])] = convert(parts[value_tag])
            return out

        return read if shape.trait("flattened") else lambda node: read(node.children)

    def scalar(self, shape: Shape) -> Compiled:
        convert = TEXT.get(shape.kind)
        if convert is None:
            return _text
        return lambda node: convert(node.text)


TEXT = scalars.TEXT_READERS


def _text(node: Node) -> str:
    return node.text


def _is_flat(member: Shape) -> bool:
    return member.kind in ("list", "map") and bool(member.trait("flattened"))


def _tags(name: str, member: Shape) -> list[str]:
    """The tags under which a member may come, and first the one under which it goes: its own name; for a flattened
    list without one the name of its items."""
    tags = [member.reference.get("locationName", name)]
    if member.kind == "list" and member.trait("flattened") and "locationName" in member.member.reference:
        tags.insert(1 if "locationName" in member.reference else 0, member.member.reference["locationName"])
    return tags


# --- writing -----------------------------------------------------------------------------------

Append = Callable[[str], None]

_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f]")
_SPECIAL_IN_ATTRIBUTE = re.compile('[&<>"\r\n\t\x00-\x08\x0b\x0c\x0e-\x1f]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def _entity(found: re.Match[str]) -> str:
    character = found.group()
    return _NAMED.get(character) or f"&#x{ord(character):X};"


def escape(text: str) -> str:
    """Element text. Control characters become character references, as AWS writes them (a client that cannot have
    them asks for `encoding-type=url`)."""
    return _SPECIAL.sub(_entity, text)


def escape_attribute(text: str) -> str:
    return _SPECIAL_IN_ATTRIBUTE.sub(_entity, text)


class XmlWriter(Compiler):
    """Members to elements. A compiled function takes `(value, tag, append)`, where tag is the element's name.

    `ec2` and `s3` write timestamps with three digits of milliseconds always.
    """

    def __init__(self, strict: bool = False, timestamp: Callable[[Any], str] = scalars.write_iso8601) -> None:
        super().__init__(strict)
        self._timestamp = timestamp

    def structure(self, shape: Shape, default_namespace: str = "") -> Compiled:
        contents = self.contents(shape)
        attributes = [(name, m.trait("locationName", name)) for name, m in answer_members(shape).items() if m.trait("xmlAttribute")]
        namespace = namespace_of(shape) or default_namespace

        def write(value: dict[str, Any], tag: str, append: Append) -> None:
            opening = f"<{tag}{namespace}"
            for name, attribute in attributes:
                if value.get(name) is not None:
                    opening += f' {attribute}="{escape_attribute(value[name])}"'
            append(opening + ">")
            contents(value, append)
            append(f"</{tag}>")

        return write

    def contents(self, shape: Shape) -> Callable[[dict[str, Any], Append], None]:
        """Writes the children of a structure without its own element."""
        known: dict[str, tuple[str, Compiled] | None] = dict.fromkeys(shape.members)
        for name, member in answer_members(shape).items():
            if not member.trait("xmlAttribute"):
                known[name] = (_tags(name, member)[0], self.compile(member))
        find, unknown, missing = known.get, self.unknown, object()

        def write(value: dict[str, Any], append: Append) -> None:
            for name, item in value.items():
                entry = find(name, missing)
                if entry is missing:
                    unknown(shape, name)
                elif entry is not None and item is not None:
                    entry[1](item, entry[0], append)

        return write

    def list(self, shape: Shape) -> Compiled:
        convert, namespace = self.compile(shape.member), namespace_of(shape)
        if shape.trait("flattened"):

            def write(value: list[Any], tag: str, append: Append) -> None:
                for item in value:
                    convert(item, tag, append)
        else:
            item_tag, times = shape.member.trait("locationName", "member"), shape.member.kind == "timestamp"

            def write(value: list[Any], tag: str, append: Append) -> None:
                append(f"<{tag}{namespace}>")
                if arrays.is_array(value):
                    append(arrays.xml(value, times, item_tag, ""))
                else:
                    for item in value:
                        convert(item, item_tag, append)
                append(f"</{tag}>")

        return write

    def map(self, shape: Shape) -> Compiled:
        key_tag, value_tag = shape.key.trait("locationName", "key"), shape.value.trait("locationName", "value")
        write_key, convert, namespace = self.compile(shape.key), self.compile(shape.value), namespace_of(shape)

        def write_entries(value: dict[str, Any], tag: str, append: Append) -> None:
            for key, item in value.items():
                append(f"<{tag}>")
                write_key(key, key_tag, append)
                convert(item, value_tag, append)
                append(f"</{tag}>")

        def write(value: dict[str, Any], tag: str, append: Append) -> None:
            append(f"<{tag}{namespace}>")
            write_entries(value, "entry", append)
            append(f"</{tag}>")

        return write_entries if shape.trait("flattened") else write

    def scalar(self, shape: Shape) -> Compiled:
        namespace = namespace_of(shape)
        if shape.kind == "timestamp":
            said = shape.trait("timestampFormat")
            convert = self._timestamp if said in (None, "iso8601") else scalars.TIMESTAMP_WRITERS[said]
        else:
            convert = scalars.TEXT_WRITERS.get(shape.kind, escape)

        def write(value: Any, tag: str, append: Append) -> None:
            append(f"<{tag}{namespace}>{convert(value)}</{tag}>")

        return write


def namespace_of(shape: Shape) -> str:
    """` xmlns="…"` of a shape whose model has one, else the empty string."""
    said = shape.trait("xmlNamespace")
    if not said:
        return ""
    uri, prefix = (said, None) if isinstance(said, str) else (said["uri"], said.get("prefix"))
    return f' xmlns{":" + prefix if prefix else ""}="{escape_attribute(uri)}"'


def text_element(tag: str, text: str) -> str:
    return f"<{tag}>{escape(text)}</{tag}>"
