"""The protocol `rest-xml`: HTTP bindings, XML bodies; and the manners of S3."""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Body
from modelyard.wire.codecs import digests, eventstream, scalars, xml
from modelyard.wire.codecs.common import Compiled, error_headers, error_shape
from modelyard.wire.codecs.rest import RestCodec, error_bindings, has_body
from modelyard.wire.http import Headers, HttpRequest, HttpResponse
from modelyard.wire.shapes import Model, Shape

if TYPE_CHECKING:
    from modelyard.wire.routing import Route

S3_NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

S3_ROOTS = {
    "ListBuckets": "ListAllMyBucketsResult",
    "ListDirectoryBuckets": "ListAllMyDirectoryBucketsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListParts": "ListPartsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketTagging": "Tagging",
    "GetObjectTagging": "Tagging",
    "GetBucketAcl": "AccessControlPolicy",
    "GetObjectAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketLifecycle": "LifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetObjectAttributes": "GetObjectAttributesResponse",
}
"""Names of S3's root elements (API reference, "Response syntax"): the model does not have them, and though the AWS
clients read any root, others do not."""


_EMPTY_IN_TRUTH = {
    "PutBucketPolicy",
    "PutBucketTagging",
    *(f"PutBucket{kind}Configuration" for kind in ("Analytics", "IntelligentTiering", "Inventory", "Metrics")),
}

ENCRYPTION = "x-amz-server-side-encryption"
"""What makes an object, not what reads it: S3 refuses it there."""


class RestXmlCodec(RestCodec):
    protocol = "rest-xml"

    def __init__(self, model: Model, operation: str) -> None:
        super().__init__(model, operation)
        self.is_s3 = model.name == "s3"
        self.hoisted_headers = self.is_s3
        self._reads_object = self.is_s3 and operation in ("GetObject", "HeadObject")

    @cached_property
    def _reads_body(self) -> bool:
        """A body that means nothing (of a GET, say) is not looked at."""
        return not self.is_s3 or (self.input is not None and bool(xml.body_members(self.input)))

    @cached_property
    def _read(self) -> Compiled:
        return xml.XmlReader().compile(self.input)

    @cached_property
    def _read_payload(self) -> Compiled:
        return xml.XmlReader().compile(self.payload_shape)

    def _writer(self, strict: bool) -> xml.XmlWriter:
        return xml.XmlWriter(strict, scalars.write_iso8601_s3 if self.is_s3 else scalars.write_iso8601)

    @cached_property
    def _writers(self) -> dict[bool, Compiled]:
        payload = self.output.trait("payload")
        shape = self.output.members[payload] if payload else self.output
        if payload:
            return {strict: self._writer(strict).compile(shape) for strict in (False, True)}
        return {strict: self._writer(strict).structure(shape, self._namespace) for strict in (False, True)}

    def read(self, route: Route, request: HttpRequest, body: bytes | Body) -> dict[str, Any]:
        if self._reads_object and ENCRYPTION in request.index:
            text = f"{ENCRYPTION} header is not supported for this operation."
            raise ApiError("InvalidArgument", text, 400, fields={"ArgumentName": ENCRYPTION, "ArgumentValue": request.index[ENCRYPTION]})
        # the checksum that CompleteMultipartUpload states is the object's, not its document's
        if self.is_s3 and not self.streams_in and not isinstance(body, Body) and self.operation != "CompleteMultipartUpload":
            digests.check(request, body, self.operation == "DeleteObjects")
        return super().read(route, request, body)

    def read_body(self, body: bytes) -> dict[str, Any]:
        return self._read(xml.parse(body)) if body and self._reads_body else {}

    def read_payload(self, body: bytes) -> Any:
        root = xml.parse(body)
        if self.is_s3 and root.tag != self.payload_shape.trait("locationName", root.tag):
            raise xml.BadXml("The XML you provided was not well-formed or did not validate against our published schema")
        return self._read_payload(root)

    def serialise(self, response: dict[str, Any], request_id: str, strict: bool = False) -> HttpResponse:
        status, headers = self.bind(response, strict)
        if self.is_s3 and response.get("ContentRange"):
            status = 206  # the model does not say it
        if self.is_s3 and self.operation in _EMPTY_IN_TRUTH:
            status = 204  # nor this
        headers += request_headers(self.is_s3, request_id)
        if self.output is None:
            return HttpResponse(status, headers, b"")
        payload = self.output.trait("payload")
        if payload is None:
            if not self._has_body or status == 204:
                return HttpResponse(status, headers, b"")
            return self._document(status, headers, self._structure(response, strict))
        shape, value = self.output.members[payload], response.get(payload)
        if shape.is_event_stream:
            headers.append(("content-type", eventstream.CONTENT_TYPE))
            return HttpResponse(status, headers, eventstream.xml_frames(shape, value))
        if shape.kind in ("blob", "string", "character"):
            return self.blob_answer(status, headers, value)
        if value is None:
            return HttpResponse(status, headers, b"")
        parts: list[str] = []
        self._writers[strict](value, self._payload_root(shape), parts.append)
        return self._document(status, headers, parts)

    def _structure(self, response: dict[str, Any], strict: bool) -> list[str]:
        if self.is_s3 and self.operation == "GetBucketLocation":
            return [f"<LocationConstraint{S3_NAMESPACE}>{xml.escape(response.get('LocationConstraint') or '')}</LocationConstraint>"]
        root = self.output.trait("locationName") or S3_ROOTS.get(self.operation) or self.output.name
        parts: list[str] = []
        self._writers[strict](response, root, parts.append)
        return parts

    @cached_property
    def _has_body(self) -> bool:
        return has_body(self.output)

    @cached_property
    def _namespace(self) -> str:
        if self.is_s3:
            return S3_NAMESPACE
        said = self.model.metadata.get("xmlNamespace")
        return f' xmlns="{xml.escape_attribute(said)}"' if said else ""

    def _payload_root(self, shape: Shape) -> str:
        return shape.trait("locationName") or shape.name

    def _document(self, status: int, headers: Headers, parts: list[str]) -> HttpResponse:
        headers.append(("content-type", "application/xml"))
        return HttpResponse(status, headers, (DECLARATION + "".join(parts)).encode())

    def error(self, error: ApiError, request_id: str) -> HttpResponse:
        answer = rest_xml_error(self.model, error, request_id, self.operation)
        if self.http.get("method") == "HEAD":
            answer.body = b""
            answer.headers = [pair for pair in answer.headers if pair[0] != "content-type"]
        return answer


def request_headers(is_s3: bool, request_id: str) -> Headers:
    if is_s3:
        return [("x-amz-request-id", request_id), ("x-amz-id-2", host_id(request_id))]
    return [("x-amzn-requestid", request_id)]


def host_id(request_id: str) -> str:
    """S3's second request id: opaque, and here made of the first."""
    return base64.b64encode(hashlib.sha384(request_id.encode()).digest()).decode()


def rest_xml_error(model: Model | None, error: ApiError, request_id: str, operation: str | None = None) -> HttpResponse:
    """S3: `<Error>` alone, with what the error names (BucketName, Key, …); others: `<ErrorResponse><Error>`."""
    shape = error_shape(model, error, operation)
    bound, fields = error_bindings(shape, error.fields)
    is_s3 = model is None or model.name == "s3"
    headers = [*request_headers(is_s3, request_id), ("content-type", "application/xml"), *bound, *error_headers(error)]
    parts = [xml.text_element("Code", error.code), *message_element(error)]
    parts += error_members(shape, fields)
    if is_s3:
        parts += [xml.text_element("RequestId", request_id), xml.text_element("HostId", host_id(request_id))]
        text = f"<Error>{''.join(parts)}</Error>"
    else:
        fault = xml.text_element("Type", "Sender" if error.sender_fault else "Receiver")
        text = f"<ErrorResponse><Error>{fault}{''.join(parts)}</Error>{xml.text_element('RequestId', request_id)}</ErrorResponse>"
    return HttpResponse(error.status, headers, (DECLARATION + text).encode())


def message_element(error: ApiError) -> list[str]:
    return [xml.text_element("Message", error.message)] if error.message else []


def error_members(shape: Shape | None, fields: dict[str, Any]) -> list[str]:
    """Modelled members by their shapes, further scalars as plain elements."""
    parts: list[str] = []
    modelled = shape.members if shape else {}
    if shape is not None:
        known = {name: value for name, value in fields.items() if name in modelled and name.lower() != "message"}
        xml.XmlWriter().contents(shape)(known, parts.append)
    parts += [xml.text_element(name, str(value)) for name, value in fields.items() if name not in modelled and value is not None]
    return parts
