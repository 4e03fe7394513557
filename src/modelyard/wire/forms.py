"""Web forms with a file, as browsers post them (S3's POST Object): read as they come, and their signed policy verified.

Source: "Browser-based uploads using POST (AWS signature version 4)" of the S3 API reference, and RFC 7578. The fields come before the file,
which streams; what follows the file is read and forgotten.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
from typing import TYPE_CHECKING, Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import ANONYMOUS, Principal
from modelyard.kernel.service import Body, Call, Form, RawResponse
from modelyard.wire import signing
from modelyard.wire.autherrors import auth_error, s3_mismatch
from modelyard.wire.browsers import refuse_strangers_pages
from modelyard.wire.codec import error_response
from modelyard.wire.crossorigin import bucket_of
from modelyard.wire.http import HttpRequest, HttpResponse
from modelyard.wire.routing import Route

if TYPE_CHECKING:
    from modelyard.wire.gateway import Gateway

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^;\s]{1,200}))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([a-z*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;]*))', re.IGNORECASE)
LARGEST_FIELDS = 20 << 10
_CHUNK = 1 << 16


def is_form(request: HttpRequest) -> bool:
    return request.method == "POST" and request.header("content-type").lower().startswith("multipart/form-data")


class Forms:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._platform = gateway, gateway.platform

    async def answer(self, request: HttpRequest, request_id: str, progress: Any) -> HttpResponse:
        """Errors too, in S3's dialect."""
        begin = getattr(request.body, "begin", None)
        if begin is not None:
            begin()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._gateway.pool, self._post, request, request_id, progress)
        except ApiError as error:
            return error_response("rest-xml", error, request_id, "s3")

    def _post(self, request: HttpRequest, request_id: str, progress: Any) -> HttpResponse:
        if self._gateway.open:
            refuse_strangers_pages(request)
        s3, bucket = self._platform.services.get("s3"), bucket_of(request)
        if s3 is None or s3.form_function is None or not bucket:
            raise ApiError("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)
        progress.route = Route("s3", "PostObject", "rest-xml", {"Bucket": bucket})
        reader = FormReader(request.body, request.header("content-type"))
        fields = reader.fields()
        policy = fields.get("policy")
        principal, region = self._principal(fields, policy)
        progress.principal = principal.arn
        call = Call(
            self._platform, "s3", "PutObject", principal.account or self._platform.settings.account, region, principal, request_id,
            request.client, request.header("user-agent"), request.secure, request.header("host"), {"s3:authType": "POST"},
        )  # fmt: skip
        form = Form(bucket, fields, reader, reader.file_name, reader.file_type, policy)
        said: RawResponse = s3.form_function(call, form)
        from modelyard.wire.codecs.rest_xml import request_headers

        return HttpResponse(said.status, [*request_headers(True, request_id), *said.headers], said.body)

    def _principal(self, fields: dict[str, str], policy: str | None) -> tuple[Principal, str]:
        """Who signed the policy (either signature version), and for which region; nobody, where there is no policy."""
        region = self._platform.settings.region
        if self._gateway.open:
            key = fields.get("x-amz-credential", "").partition("/")[0] or fields.get("awsaccesskeyid", "")
            found = self._platform.identity.credential(key)
            return (found.principal if found is not None else ANONYMOUS), region
        if policy is None:
            if "x-amz-signature" in fields or "signature" in fields:
                raise ApiError(
                    "InvalidArgument", "Bucket POST must contain a field named 'policy'.  If it is specified, please check the order of the fields.", 400
                )  # fmt: skip
            return ANONYMOUS, region
        if not any(name.startswith("x-amz-") or name in ("awsaccesskeyid", "signature") for name in fields):
            raise ApiError("AccessDenied", "Access Denied", 403)  # a policy that nobody signed
        if any(name in fields for name in ("x-amz-credential", "x-amz-signature", "x-amz-algorithm", "x-amz-date")):
            return self._version4(fields, policy)
        return self._version2(fields, policy), "us-east-1"

    def _version4(self, fields: dict[str, str], policy: str) -> tuple[Principal, str]:
        for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"):
            if not fields.get(name):
                raise _missing(name.title())
        scope = fields["x-amz-credential"].split("/")
        if fields["x-amz-algorithm"] != "AWS4-HMAC-SHA256" or len(scope) != 5 or scope[3:] != ["s3", "aws4_request"]:
            raise ApiError("InvalidRequest", "The credential or algorithm of the form is malformed.", 400)
        access_key, date, region, service, _ = scope
        if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", region) or not fields["x-amz-date"].startswith(date):
            raise auth_error("s3", "scope")
        credential = self._credential(access_key, fields)
        key = signing.signing_key(credential.secret_key, date, region, service)
        _compare(signing.sign(key, policy), fields["x-amz-signature"], access_key, policy)
        return credential.principal, region

    def _version2(self, fields: dict[str, str], policy: str) -> Principal:
        for name in ("awsaccesskeyid", "signature"):
            if not fields.get(name):
                raise _missing({"awsaccesskeyid": "AWSAccessKeyId", "signature": "Signature"}[name])
        credential = self._credential(fields["awsaccesskeyid"], fields)
        made = base64.b64encode(hmac.digest(credential.secret_key.encode(), policy.encode(), "sha1")).decode()
        _compare(made, fields["signature"], credential.access_key, policy)
        return credential.principal

    def _credential(self, access_key: str, fields: dict[str, str]) -> Any:
        credential, token = self._platform.identity.credential(access_key), fields.get("x-amz-security-token")
        if credential is None or (credential.token is not None and not token):
            raise auth_error("s3", "key", AWSAccessKeyId=access_key)
        if token and (credential.token is None or not hmac.compare_digest(token.encode(), credential.token.encode())):
            raise auth_error("s3", "token")
        if credential.expires_at is not None and self._platform.clock.now() >= credential.expires_at:
            raise auth_error("s3", "expired")
        return credential


def _missing(name: str) -> ApiError:
    text = f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
    return ApiError("InvalidArgument", text, 400, fields={"ArgumentName": name, "ArgumentValue": ""})


def _compare(made: str, said: str, access_key: str, policy: str) -> None:
    if not hmac.compare_digest(made.encode(), said.encode()):
        raise s3_mismatch(access_key, said, policy)


class FormReader(Body):
    """The fields of a form (`fields()`, once), then its file as a body."""

    def __init__(self, body: Body, content_type: str) -> None:
        found = _BOUNDARY.search(content_type)
        if found is None:
            raise _malformed()
        self._mark = b"\r\n--" + (found.group(1) or found.group(2)).encode("latin-1")
        self._body, self._buffer = body, bytearray(b"\r\n")  # as if a line ended before the first boundary
        self._ended = self._file_ended = False
        self.length, self.trailers = None, {}
        self.file_name, self.file_type = "", ""

    def fields(self) -> dict[str, str]:
        """Up to the file. Raises MalformedPOSTRequest, MaxPostPreDataLengthExceeded, and InvalidArgument where no file comes."""
        found: dict[str, str] = {}
        size = 0
        self._until(self._mark, LARGEST_FIELDS)
        while self._line_after_mark():
            name, parameters = self._part_head()
            if name == "file":
                self.file_name = parameters.get("filename", "")
                return found
            value = self._until(self._mark, LARGEST_FIELDS)
            size += len(value) + len(name)
            if size > LARGEST_FIELDS:
                raise _too_large()
            try:
                found.setdefault(name, value.decode())
            except UnicodeDecodeError:
                raise _malformed() from None
        raise ApiError(
            "InvalidArgument",
            "POST requires exactly one file upload per request.",
            400,
            fields={"ArgumentName": "file", "ArgumentValue": "0"},
        )

    def read(self, size: int = 1 << 18) -> bytes:
        """Bytes of the file."""
        if self._file_ended:
            return b""
        while True:
            at = self._buffer.find(self._mark)
            safe = at if at >= 0 else len(self._buffer) - len(self._mark) + 1
            if safe > 0:
                piece = bytes(self._buffer[: min(safe, size)])
                del self._buffer[: len(piece)]
                return piece
            if at == 0:
                self._file_ended = True
                while self._body.read():
                    pass
                return b""
            self._more()

    # --- its pieces -------------------------------------------------------------------------------

    def _more(self) -> None:
        data = self._body.read(_CHUNK)
        if not data:
            raise ApiError("IncompleteBody", "The request body terminated unexpectedly", 400)
        self._buffer += data

    def _until(self, mark: bytes, limit: int) -> bytes:
        start = 0
        while (at := self._buffer.find(mark, start)) < 0:
            if len(self._buffer) > limit + len(mark):
                raise _too_large()
            start = max(0, len(self._buffer) - len(mark))
            self._more()
        value = bytes(self._buffer[:at])
        del self._buffer[: at + len(mark)]
        return value

    def _line_after_mark(self) -> bool:
        """Whether another part follows the boundary that was just read."""
        while len(self._buffer) < 2:
            self._more()
        if self._buffer[:2] == b"--":
            return False
        self._until(b"\r\n", 256)
        return True

    def _part_head(self) -> tuple[str, dict[str, str]]:
        head = b"\r\n" + self._until(b"\r\n\r\n", LARGEST_FIELDS) if not self._buffer.startswith(b"\r\n") else b""
        name, parameters, kind = "", {}, ""
        try:
            lines = head.decode().split("\r\n")
        except UnicodeDecodeError:
            raise _malformed() from None
        for line in lines:
            header, _, value = line.partition(":")
            if header.strip().lower() == "content-disposition":
                parameters = {
                    key.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain.strip()
                    for key, quoted, plain in _PARAMETER.findall(value)
                }
                name = parameters.get("name", "").lower()
            elif header.strip().lower() == "content-type":
                kind = value.strip()
        if not name:
            raise _malformed()
        if name == "file":
            self.file_type = kind
        return name, parameters


def _malformed() -> ApiError:
    return ApiError("MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.", 400)


def _too_large() -> ApiError:
    return ApiError("MaxPostPreDataLengthExceeded", "Your POST request fields preceding the upload file were too large.", 400)
