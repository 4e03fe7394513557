"""Which operation of a REST service a method, a path and a query string mean; from the model's http traits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from urllib.parse import unquote

from modelyard.kernel.errors import ApiError
from modelyard.wire.shapes import Model, model


class BadUri(ApiError):
    """A path or query string that cannot be decoded: S3's InvalidURI."""

    def __init__(self) -> None:
        super().__init__("InvalidURI", "Couldn't parse the specified URI.", 400)


@dataclass(frozen=True)
class _Candidate:
    operation: str
    literals: tuple[tuple[str, str], ...]
    """Query parameters that the URI template itself has: `?uploads`, `?list-type=2`."""
    required_query: tuple[str, ...]
    required_headers: tuple[str, ...]
    hint: str
    deprecated: bool

    def fits(self, query: Mapping[str, list[str]]) -> bool:
        return all(key in query and (not value or value in query[key]) for key, value in self.literals)

    def rank(self, query: Mapping[str, list[str]], headers: Mapping[str, str]) -> tuple[int, ...]:
        met = sum(key in query for key in self.required_query)
        met += sum(key in headers or key in query for key in self.required_headers)
        missing = len(self.required_query) + len(self.required_headers) - met
        hint = 0 if not self.hint else 1 if self.hint in query.get("x-id", ()) else -1
        return (-missing, len(self.literals), met, hint, -self.deprecated)


@dataclass(frozen=True)
class _Template:
    """One path pattern of one method and the operations that share it."""

    pattern: re.Pattern[str]
    labels: tuple[str, ...]
    weight: tuple[int, ...]
    plain: list[_Candidate]
    """Operations that need no query parameter of their own."""
    by_literal: dict[str, list[_Candidate]]
    """The others, by the first query parameter of their URI template."""

    @cached_property
    def telling(self) -> frozenset[str]:
        """Query parameters and headers that decide among the plain ones."""
        return frozenset({"x-id"}.union(*(set(one.required_query) | set(one.required_headers) for one in self.plain)))

    @cached_property
    def usual(self) -> _Candidate | None:
        """The plain one that a request with none of those means."""
        return max(self.plain, key=lambda candidate: candidate.rank({}, {}), default=None)

    def fitting(self, query: Mapping[str, list[str]]) -> list[_Candidate]:
        if not query or self.by_literal.keys().isdisjoint(query):
            return self.plain
        special = [one for key in query for one in self.by_literal.get(key, ()) if one.fits(query)]
        return self.plain + special if special else self.plain


class RestRoutes:
    def __init__(self, service: Model) -> None:
        grouped: dict[tuple[str, str], list[_Candidate]] = {}
        for name, operation in service.raw["operations"].items():
            http = operation["http"]
            path, _, literals = http["requestUri"].partition("?")
            grouped.setdefault((http["method"], path), []).append(_candidate(service, name, literals))
        self._by_method: dict[str, list[_Template]] = {}
        for (method, path), candidates in grouped.items():
            self._by_method.setdefault(method, []).append(_template(path, candidates))
        for templates in self._by_method.values():
            templates.sort(key=lambda template: template.weight, reverse=True)

    def find(self, method: str, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str]) -> tuple[str, dict[str, str]] | None:
        """(operation, label values percent-decoded), or None. `path` is as received."""
        for template in self._by_method.get(method, ()):
            found = template.pattern.match(path)
            if found is None:
                continue
            fitting = template.fitting(query)
            if not fitting:
                continue
            if len(fitting) == 1:
                best = fitting[0]
            elif fitting is template.plain and template.telling.isdisjoint(query) and template.telling.isdisjoint(headers):
                best = template.usual
            else:
                best = max(fitting, key=lambda candidate: candidate.rank(query, headers))
            return best.operation, dict(zip(template.labels, map(decode, found.groups()), strict=True))
        return None


def decode(text: str) -> str:
    """Percent-decoding as it stands in a path: `+` is a plus; bytes that are not UTF-8 are an error."""
    try:
        return unquote(text, errors="strict") if "%" in text else text.encode("latin-1").decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise BadUri()


@cache
def rest_routes(service: str) -> RestRoutes:
    return RestRoutes(model(service))


_LABEL = re.compile(r"\{([^}]+)\}")


def _template(path: str, candidates: list[_Candidate]) -> _Template:
    labels = tuple(label.rstrip("+") for label in _LABEL.findall(path))
    pattern, at = "", 0
    for found in _LABEL.finditer(path):
        pattern += re.escape(path[at : found.start()]) + ("(.+)" if found.group(1).endswith("+") else "([^/]+)")
        at = found.end()
    rest = path[at:]
    greedy_end = not rest and path.endswith("+}")
    pattern += re.escape(rest.rstrip("/")) + ("" if greedy_end else "/?")
    segments = path.strip("/").split("/")
    literal = tuple(0 if "+}" in segment else 1 if "{" in segment else 2 for segment in segments)
    by_literal: dict[str, list[_Candidate]] = {}
    for candidate in candidates:
        if candidate.literals:
            by_literal.setdefault(candidate.literals[0][0], []).append(candidate)
    plain = [candidate for candidate in candidates if not candidate.literals]
    return _Template(re.compile(pattern + r"\Z", re.DOTALL), labels, literal, plain, by_literal)


def _candidate(service: Model, name: str, literals: str) -> _Candidate:
    pairs = [tuple(part.split("=", 1)) if "=" in part else (part, "") for part in literals.split("&") if part]
    shape = service.input(name)
    required = [(shape.members[m], m) for m in shape.required] if shape else []
    return _Candidate(
        name,
        tuple((key, value) for key, value in pairs if key != "x-id"),
        tuple(m.trait("locationName", n) for m, n in required if m.location == "querystring"),
        tuple(m.trait("locationName", n).lower() for m, n in required if m.location == "header"),
        dict(pairs).get("x-id", ""),
        bool(service.raw["operations"][name].get("deprecated")),
    )
