"""POST Object: what a web form with a signed policy uploads.

Source: "POST Object" of the S3 API reference and "Creating a POST policy": every field must meet a condition of the policy, but for those that
sign it, the file, and `x-ignore-…`. The object is then put like any other, so what PutObject checks and permits holds here too.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import orjson

from modelyard.kernel import models
from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Body, Form, RawResponse
from modelyard.services.s3 import api, mailtext
from modelyard.services.s3.errors import invalid_argument, s3_error
from modelyard.services.s3.notices import Cause
from modelyard.services.s3.put import put_for

_NEED_NO_CONDITION = {"policy", "x-amz-signature", "signature", "awsaccesskeyid", "file", "submit"}
_FOR_THE_FORM = {"key", "acl", "policy", "bucket", "success_action_redirect", "redirect", "success_action_status", "tagging", "file"}


@api.form
def post_object(call: Any, form: Form) -> RawResponse:
    fields = form.fields
    if not fields.get("key"):
        raise invalid_argument(
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.", "key", ""
        )
    key = fields["key"].replace("${filename}", form.file_name) if form.file_name else fields["key"]
    least, most = _check_policy(form, key) if form.policy is not None else (0, None)
    request = _request(form, key)
    call.platform.identity.authorize(call, request)
    made = put_for(call, {**request, "Body": Measured(form.file, least, most)}, Cause("ObjectCreated:Post", call))
    return _answer(call, form, key, made)


class Measured(Body):
    """The file, whose size the policy bounds."""

    def __init__(self, inner: Body, least: int, most: int | None) -> None:
        self._inner, self._least, self._most, self._size = inner, least, most, 0
        self.length, self.trailers = None, {}

    def read(self, size: int = 1 << 18) -> bytes:
        data = self._inner.read(size)
        self._size += len(data)
        if self._most is not None and self._size > self._most:
            raise s3_error("EntityTooLarge", ProposedSize=self._size, MaxSizeAllowed=self._most)
        if not data and self._size < self._least:
            raise s3_error("EntityTooSmall", ProposedSize=self._size, MinSizeAllowed=self._least)
        return data


# --- the policy --------------------------------------------------------------------------------------


def _check_policy(form: Form, key: str) -> tuple[int, int | None]:
    """The bounds of the file's size, after every condition was found met."""
    document = _document(form.policy or "")
    if real_now() >= _expiry(document.get("expiration")):
        raise _against_policy("Policy expired.")
    conditions = document.get("conditions")
    if not isinstance(conditions, list):
        raise _bad_policy("Invalid Policy: Missing 'conditions'." if conditions is None else "Invalid Policy: 'conditions' must be a List.")
    said = {**form.fields, "bucket": form.bucket, "key": key}
    least, most, named = 0, None, set()
    for condition in conditions:
        operator, name, value = _condition(condition)
        if operator == "never":
            raise _against_policy(f"Policy Condition failed: {json.dumps(condition)}")
        if operator == "content-length-range":
            least, most = int(name), int(value)
            continue
        named.add(name)
        have = said.get(name, "")
        if not (have == value if operator == "eq" else _starts(name, have, value)):
            raise _against_policy(f"Policy Condition failed: {json.dumps(condition)}")
    extra = [name for name in form.fields if name not in named | _NEED_NO_CONDITION and not name.startswith("x-ignore-")]
    if extra:
        raise _against_policy(f"Extra input fields: {', '.join(extra)}")
    return least, most


def _starts(name: str, have: str, value: str) -> bool:
    if name == "content-type":  # a list of types: each must fit
        return all(one.strip().startswith(value) for one in have.split(","))
    return have.startswith(value)


def _document(policy: str) -> dict[str, Any]:
    try:
        document = orjson.loads(base64.b64decode(policy, validate=True))
    except (binascii.Error, ValueError):
        document = None
    if not isinstance(document, dict):
        raise _bad_policy("Invalid Policy: Invalid JSON.")
    return document


def _expiry(text: Any) -> float:
    if not isinstance(text, str):
        raise _bad_policy("Invalid Policy: Policy missing expiration.")
    try:
        if "T" not in text or not text.endswith("Z"):
            raise ValueError
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp()
    except ValueError:
        raise _bad_policy(f"Invalid Policy: Invalid 'expiration' value: '{text}'") from None


def _condition(said: Any) -> tuple[str, str, str]:
    """(operator, field in lower case, value); of content-length-range (operator, least, most)."""
    if isinstance(said, dict) and len(said) == 1:
        ((name, value),) = said.items()
        if isinstance(value, str):
            return "eq", name.lower(), value
    if isinstance(said, list) and len(said) == 3:
        operator = str(said[0]).lower()
        if operator == "content-length-range":
            if all(isinstance(one, int) or (isinstance(one, str) and one.isdigit()) for one in said[1:]) and int(said[1]) >= 0 <= int(
                said[2]
            ):
                return operator, str(said[1]), str(said[2])
            return "never", "", ""
        elif operator in ("eq", "starts-with") and isinstance(said[1], str) and said[1].startswith("$") and isinstance(said[2], str):
            return operator, said[1][1:].lower(), said[2]
        elif operator in ("eq", "starts-with") and isinstance(said[1], str) and isinstance(said[2], str):
            return "never", "", ""  # a field is named with $
    if isinstance(said, dict):
        raise _bad_policy("Invalid Policy: Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
    raise _bad_policy(f"Invalid Policy: Invalid Condition: {json.dumps(said)}")


def _bad_policy(text: str) -> ApiError:
    return ApiError("InvalidPolicyDocument", text, 400)


def _against_policy(text: str) -> ApiError:
    return s3_error("AccessDenied", f"Invalid according to Policy: {text}")


# --- the request it stands for, and the answer ---------------------------------------------------------


def _request(form: Form, key: str) -> dict[str, Any]:
    """The PutObject that the form means: its fields are headers, under their own names."""
    model = models.service_model("s3")
    members, shapes = model["shapes"]["PutObjectRequest"]["members"], model["shapes"]
    by_header = {
        one["locationName"].lower(): (name, shapes[one["shape"]]) for name, one in members.items() if one.get("location") == "header"
    }
    request: dict[str, Any] = {"Bucket": form.bucket, "Key": key}
    user = {
        name[len("x-amz-meta-") :]: mailtext.encoded(value, words_too=True)
        for name, value in form.fields.items()
        if name.startswith("x-amz-meta-")
    }
    if user:
        request["Metadata"] = user
    for name, value in form.fields.items():
        if name in by_header and name not in _FOR_THE_FORM and value:
            member, shape = by_header[name]
            request[member] = _converted(member, shape, value)
    if form.fields.get("acl"):
        request["ACL"] = form.fields["acl"]
    if "ContentType" not in request and form.file_type and "content-type" not in form.fields:
        request["ContentType"] = form.file_type
    if form.fields.get("tagging"):
        request["Tagging"] = _tags(form.fields["tagging"])
    return request


def _converted(member: str, shape: dict[str, Any], value: str) -> Any:
    try:
        match shape["type"]:
            case "boolean":
                return value.lower() == "true"
            case "integer" | "long":
                return int(value)
            case "timestamp":
                return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise invalid_argument("Invalid Argument", member, value) from None
    if shape.get("enum") and value not in shape["enum"] and member != "StorageClass":
        raise invalid_argument("Invalid Argument", member, value)
    return value


def _tags(text: str) -> str:
    """The field `tagging` is an XML document, the header a query string."""
    if "<!" in text:
        raise s3_error("MalformedXML")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        raise s3_error("MalformedXML") from None
    tags = [one for one in root.iter() if one.tag.rpartition("}")[2] == "Tag"]
    pairs = [{child.tag.rpartition("}")[2]: child.text or "" for child in tag} for tag in tags]
    return urlencode([(pair.get("Key", ""), pair.get("Value", "")) for pair in pairs])


def _answer(call: Any, form: Form, key: str, made: dict[str, Any]) -> RawResponse:
    scheme, etag = "https" if call.secure else "http", made["ETag"]
    path = quote(key) if call.host.startswith(f"{form.bucket}.") else f"{form.bucket}/{quote(key)}"
    location = f"{scheme}://{call.host}/{path}"
    headers = [("etag", etag), ("location", _one_line(location))]
    checksums = [
        (f"x-amz-checksum-{name[len('Checksum') :].lower()}", value) for name, value in made.items() if name.startswith("Checksum")
    ]
    headers += checksums
    if "VersionId" in made:
        headers.append(("x-amz-version-id", made["VersionId"]))
    redirect = form.fields.get("success_action_redirect") or form.fields.get("redirect")
    if redirect and redirect.startswith(("http://", "https://")):
        mark = "&" if "?" in redirect else "?"
        target = f"{redirect}{mark}{urlencode({'bucket': form.bucket, 'key': key, 'etag': etag})}"
        return RawResponse(303, [("etag", etag), ("location", _one_line(target))], b"")
    match form.fields.get("success_action_status"):
        case "200":
            return RawResponse(200, headers, b"")
        case "201":
            text = "".join(
                f"<{name}>{escape(value)}</{name}>"
                for name, value in (("Location", location), ("Bucket", form.bucket), ("Key", key), ("ETag", etag))
            )
            document = f'<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse>{text}</PostResponse>'
            return RawResponse(201, [*headers, ("content-type", "application/xml")], document.encode())
    return RawResponse(204, headers, b"")


def _one_line(text: str) -> str:
    return text.replace("\r", "%0D").replace("\n", "%0A").encode("latin-1", "replace").decode("latin-1")
