"""The codecs' front: one call for the codec of an operation, one for an error that has no operation.

found = codec(route.service, route.operation, route.protocol)      # compiled once, cached
request = found.parse(route, http_request, body)                   # a dict, as boto3 would take it
found.validate(request)                                            # AWS's constraint texts
answer = found.serialise(response, request_id, strict=False)       # an HttpResponse
answer = found.error(api_error, request_id)
"""

from __future__ import annotations

from functools import cache

from modelyard.kernel.errors import ApiError
from modelyard.wire.codecs.base import Codec
from modelyard.wire.codecs.cbor import CborCodec, cbor_error
from modelyard.wire.codecs.common import UnmodelledMember
from modelyard.wire.codecs.json_rpc import JsonCodec, json_error
from modelyard.wire.codecs.query import Ec2Codec, QueryCodec, ec2_error, query_error
from modelyard.wire.codecs.rest_json import RestJsonCodec, rest_json_error
from modelyard.wire.codecs.rest_xml import RestXmlCodec, rest_xml_error
from modelyard.wire.http import HttpResponse
from modelyard.wire.legacy_query import model_for
from modelyard.wire.shapes import Model, model

__all__ = ["CODECS", "Codec", "UnmodelledMember", "codec", "codec_for", "error_response"]

CODECS: dict[str, type[Codec]] = {kind.protocol: kind for kind in (JsonCodec, RestJsonCodec, RestXmlCodec, QueryCodec, Ec2Codec, CborCodec)}

_ERRORS = {
    "json": json_error,
    "rest-json": rest_json_error,
    "rest-xml": rest_xml_error,
    "query": query_error,
    "ec2": ec2_error,
    "smithy-rpc-v2-cbor": cbor_error,
}


@cache
def codec(service: str, operation: str, protocol: str | None = None) -> Codec:
    """The codec of an operation; without a protocol that of the model's first."""
    protocol = protocol or model(service).metadata["protocol"]
    return codec_for(model_for(service, protocol), operation, protocol)


def codec_for(service: Model, operation: str, protocol: str | None = None) -> Codec:
    return CODECS[protocol or service.metadata["protocol"]](service, operation)


def error_response(protocol: str, error: ApiError, request_id: str, service: str | None = None, method: str = "POST") -> HttpResponse:
    """An error in a protocol's dialect where no operation is known (`Unroutable`, a bad signature, a body too long).

    `service` (a botocore name) gives it the service's manners, if its model is loaded or cheap to load.
    """
    answer = _ERRORS[protocol](model(service) if service else None, error, request_id)
    if method == "HEAD":
        answer.body = b""
    return answer
