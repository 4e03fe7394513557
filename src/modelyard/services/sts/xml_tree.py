"""XML as a signature needs it: elements with the prefixes they were written with, and their exclusive canonical form.

Source: W3C, "Exclusive XML Canonicalization 1.0" and "Canonical XML 1.0". Documents with a DTD are refused unread, so there are no entities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

XML = "http://www.w3.org/XML/1998/namespace"
DEEPEST, MOST_NODES = 64, 20_000


class BadXml(ValueError):
    """Not XML, or more of it than anybody needs here."""


@dataclass(eq=False)
class Element:
    """`name` and the keys of `attributes` are as written (`saml:Issuer`); `scope` maps the prefixes in force to their namespaces."""

    name: str
    attributes: dict[str, str]
    scope: Mapping[str, str]
    parent: Element | None = None
    children: list[Element | str] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return self.scope.get(_prefix(self.name), "")

    @property
    def local(self) -> str:
        return self.name.rpartition(":")[2]

    def is_a(self, namespace: str, local: str) -> bool:
        return self.local == local and self.namespace == namespace

    def elements(self) -> list[Element]:
        return [child for child in self.children if isinstance(child, Element)]

    def find(self, namespace: str, local: str) -> list[Element]:
        """Children, not deeper ones."""
        return [child for child in self.elements() if child.is_a(namespace, local)]

    def only(self, namespace: str, local: str) -> Element:
        """The one child of this name; BadXml where there is none or another."""
        found = self.find(namespace, local)
        if len(found) != 1:
            raise BadXml(f"{self.local} has {len(found)} elements {local}, not one")
        return found[0]

    @property
    def text(self) -> str:
        return "".join(child for child in self.children if isinstance(child, str))

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.elements():
            yield from child.walk()


def parse(text: str | bytes) -> Element:
    """The root element."""
    root: list[Element] = []
    open_: list[Element] = []
    count = 0

    def start(name: str, pairs: list[str]) -> None:
        nonlocal count
        count += 1
        if count > MOST_NODES or len(open_) >= DEEPEST:
            raise BadXml("the document is too large")
        scope = dict(open_[-1].scope) if open_ else {"xml": XML}
        attributes = {}
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if key == "xmlns":
                scope[""] = value
            elif key.startswith("xmlns:"):
                scope[key[6:]] = value
            else:
                attributes[key] = value
        for used in (name, *(key for key in attributes if ":" in key)):
            if _prefix(used) and _prefix(used) not in scope:
                raise BadXml(f"the prefix of {used} is not declared")
        element = Element(name, attributes, scope, open_[-1] if open_ else None)
        (open_[-1].children if open_ else root).append(element)
        open_.append(element)

    def data(text: str) -> None:
        open_[-1].children.append(text)

    def refuse(*_: object) -> None:
        raise BadXml("a DTD is not taken")

    parser = expat.ParserCreate()
    parser.ordered_attributes, parser.buffer_text = True, True
    parser.StartElementHandler, parser.CharacterDataHandler = start, data
    parser.EndElementHandler = lambda name: open_.pop()
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.ProcessingInstructionHandler = refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as problem:
        raise BadXml(str(problem)) from None
    return root[0]


def canonical(element: Element, without: Element | None = None, inclusive: frozenset[str] = frozenset()) -> bytes:
    """The exclusive canonical form, comments left out. `without`: an element that is passed over (an enveloped signature);
    `inclusive`: prefixes that are told where they are declared, used or not."""
    return "".join(_written(element, {}, without, inclusive)).encode()


def _written(element: Element, told: Mapping[str, str], without: Element | None, inclusive: frozenset[str]) -> Iterator[str]:
    used = {_prefix(element.name), *(_prefix(key) for key in element.attributes if ":" in key)} | (inclusive & set(element.scope))
    new = {}
    for prefix in used - {"xml"}:
        namespace = element.scope.get(prefix, "")
        if told.get(prefix, "") != namespace:
            new[prefix] = namespace
    names = [f' xmlns{f":{prefix}" if prefix else ""}="{_attribute(new[prefix])}"' for prefix in sorted(new)]
    values = [
        f' {key}="{_attribute(value)}"'
        for key, value in sorted(element.attributes.items(), key=lambda item: _order(item[0], element.scope))
    ]
    yield f"<{element.name}{''.join(names)}{''.join(values)}>"
    inner = {**told, **new}
    for child in element.children:
        if isinstance(child, str):
            yield child.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")
        elif child is not without:
            yield from _written(child, inner, without, inclusive)
    yield f"</{element.name}>"


def _order(key: str, scope: Mapping[str, str]) -> tuple[str, str]:
    prefix, _, local = key.rpartition(":")
    return (scope.get(prefix, "") if prefix else "", local)


def _attribute(value: str) -> str:
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return value.replace("\t", "&#x9;").replace("\n", "&#xA;").replace("\r", "&#xD;")


def _prefix(name: str) -> str:
    return name.rpartition(":")[0]
