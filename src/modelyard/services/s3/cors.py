"""Cross-origin rules of a bucket: put, get, delete, and what they say to a browser.

Source: "Using cross-origin resource sharing (CORS)" of the S3 user guide: the first rule that fits origin, method and every header asked for
decides. `platform.parts["cross_origin"]` is `Rules`.
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import api
from modelyard.services.s3.depot import Depot, depot_of, owned_bucket
from modelyard.services.s3.errors import not_found, s3_error

_METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")
_MOST_RULES = 100
_VARY = ("vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
Headers = list[tuple[str, str]]


@api.operation
def put_bucket_cors(call, request):
    home, rules = owned_bucket(call, request), request["CORSConfiguration"].get("CORSRules") or []
    if not 1 <= len(rules) <= _MOST_RULES:
        raise s3_error("MalformedXML")
    for rule in rules:
        _check(rule)
    depot_of(call).index.change_settings(home.name, "Cors", rules)
    return {}


def _check(rule: dict[str, Any]) -> None:
    if not rule.get("AllowedMethods") or not rule.get("AllowedOrigins"):
        raise s3_error("MalformedXML")
    for method in rule["AllowedMethods"]:
        if method not in _METHODS:
            raise s3_error("InvalidRequest", f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
    for origin in rule["AllowedOrigins"]:
        if origin.count("*") > 1:
            raise s3_error("InvalidRequest", f'AllowedOrigin "{origin}" can not have more than one wildcard.')
    for header in rule.get("AllowedHeaders") or ():
        if header.count("*") > 1:
            raise s3_error("InvalidRequest", f'AllowedHeader "{header}" can not have more than one wildcard.')
    for header in rule.get("ExposeHeaders") or ():
        if "*" in header:
            raise s3_error(
                "InvalidRequest", f'ExposeHeader "{header}" contains wildcard. We currently do not support wildcard for ExposeHeader.'
            )


@api.operation
def get_bucket_cors(call, request):
    home = owned_bucket(call, request)
    if not home.settings.get("Cors"):
        raise not_found("NoSuchCORSConfiguration", "The CORS configuration does not exist", home.name)
    return {"CORSRules": home.settings["Cors"]}


@api.operation
def delete_bucket_cors(call, request):
    depot_of(call).index.change_settings(owned_bucket(call, request).name, "Cors", None)
    return {}


class Rules:
    """What buckets allow pages of other origins, as response headers."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    def preflight(self, bucket: str, key: str, origin: str, method: str, names: list[str]) -> Headers:
        if not origin:
            raise s3_error("BadRequest", "Insufficient information. Origin request header needed.")
        home = self._depot.index.bucket(bucket) if bucket else None
        if method not in _METHODS and home is not None and home.settings.get("Cors"):
            raise s3_error("BadRequest", f"Invalid Access-Control-Request-Method: {method or 'null'}")
        rules = home.settings.get("Cors") if home else None
        if not rules:
            why = "Bucket not found" if home is None else "CORS is not enabled for this bucket."
            raise _forbidden(f"CORSResponse: {why}", method or "OPTIONS", "BUCKET")
        rule = first_rule(rules, origin, method, names)
        if rule is None:
            raise _forbidden(
                "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
                "Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
                method,
                "OBJECT" if key else "BUCKET",
            )
        headers = _told(rule, origin)
        if names:
            headers.append(("access-control-allow-headers", ", ".join(names)))
        return [*headers, _VARY]

    def headers(self, bucket: str, origin: str, method: str) -> Headers:
        home = self._depot.index.bucket(bucket)
        rules = home.settings.get("Cors") if home else None
        rule = first_rule(rules, origin, method, []) if rules else None
        return [*_told(rule, origin), _VARY] if rule else []


def first_rule(rules: list[dict[str, Any]], origin: str, method: str, names: list[str]) -> dict[str, Any] | None:
    for rule in rules:
        if method not in rule["AllowedMethods"] or not any(_fits(one, origin) for one in rule["AllowedOrigins"]):
            continue
        if all(any(_fits(one.lower(), name) for one in rule.get("AllowedHeaders") or ()) for name in names):
            return rule
    return None


def _fits(pattern: str, text: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == text
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)


def _told(rule: dict[str, Any], origin: str) -> Headers:
    everybody = "*" in rule["AllowedOrigins"]
    headers = [("access-control-allow-origin", "*" if everybody else origin)]
    if not everybody:
        headers.append(("access-control-allow-credentials", "true"))
    headers.append(("access-control-allow-methods", ", ".join(rule["AllowedMethods"])))
    if rule.get("ExposeHeaders"):
        headers.append(("access-control-expose-headers", ", ".join(rule["ExposeHeaders"])))
    if "MaxAgeSeconds" in rule:
        headers.append(("access-control-max-age", str(rule["MaxAgeSeconds"])))
    return headers


def _forbidden(text: str, method: str, kind: str) -> ApiError:
    return ApiError("AccessForbidden", text, 403, fields={"Method": method, "ResourceType": kind})
