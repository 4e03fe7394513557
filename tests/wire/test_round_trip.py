"""Every operation, both ways, judged by a real botocore client: random valid parameters arrive as they were sent, random
valid answers are read as they were given, errors keep code, message and members."""

from functools import cache
from random import Random

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from modelyard.kernel import models
from modelyard.kernel.errors import ApiError
from modelyard.wire.codec import codec
from modelyard.wire.routing import NeedsBody, route
from modelyard.wire.shapes import model
from tests.support.shape_values import Values, same
from tests.support.wire_client import client

SERVICES = [
    "s3", "sts", "iam", "sagemaker", "sagemaker-runtime", "logs", "cloudwatch", "sns", "sqs", "kms", "ssm", "secretsmanager",
    "lambda", "events", "ec2", "cloudformation", "application-autoscaling", "sagemaker-featurestore-runtime", "sagemaker-metrics",
    "stepfunctions", "dynamodb", "ecr", "codebuild", "codepipeline", "codecommit", "glue", "athena", "apigateway", "scheduler",
    "elbv2", "autoscaling", "kinesis", "firehose", "resourcegroupstaggingapi", "servicecatalog", "s3control", "batch", "eks",
]  # fmt: skip

OTHER_PROTOCOLS = ["cloudwatch", "codebuild", "codepipeline", "servicecatalog", "resourcegroupstaggingapi"]

CLIENT_SIDE = {
    "s3": {"SSECustomerKey", "SSECustomerKeyMD5", "CopySourceSSECustomerKey", "CopySourceSSECustomerKeyMD5", "EncodingType", "Expires"}
    | {"ContentMD5", "ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256"},  # of the real body only
    "autoscaling": {"UserData"},
    "ec2": {"UserData", "PresignedUrl", "DestinationRegion", "SpotPrice"},
    "apigateway": {"accepts"},
    "events": {"EndpointId"},
}
"""Members that botocore's own handlers change before they are sent or after they are read."""
ADDED_BY_CLIENT = {
    "s3": {
        "ContentMD5",
        "ChecksumAlgorithm",
        "ChecksumCRC32",
        "EncodingType",
        "ContentLength",
        "ContentType",
        "ContentEncoding",
        "ChecksumMode",
    },
    "apigateway": {"accepts"},
}
ANSWERS_CHANGED = {
    "s3": {"GetBucketLocation", "ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads", "SelectObjectContent"},
    "cloudformation": {"GetTemplate"},
    "ec2": {"GetConsoleOutput"},
}
"""Operations whose answers botocore's handlers rewrite (URL-decoding, JSON-decoding)."""
NOT_SENT = {
    "s3": {"WriteGetObjectResponse", "CreateSession", "ListDirectoryBuckets"},
    "ec2": {"CopySnapshot"},
}
"""Operations that a client sends elsewhere, or signs a URL for first."""


class Echo:
    """Keeps what arrived, answers what it was told."""

    def __init__(self) -> None:
        self.arrived = self.answer = self.route = None

    def __call__(self, request, body):
        registered = {self.service}
        try:
            self.route = route(request, registered)
        except NeedsBody:
            self.route = route(request, registered, body)
        used = codec(self.route.service, self.route.operation, self.route.protocol)
        self.arrived = used.parse(self.route, request, request.body if used.streams_in else body)
        if isinstance(self.answer, ApiError):
            return used.error(self.answer, "rid")
        return used.serialise(self.answer, "rid", strict=True)


@cache
def echo(service, protocol):
    """A client that speaks this protocol, whichever its botocore would choose, as older ones and other SDKs do."""
    handler = Echo()
    handler.service = service
    made = client(service, handler, signed=False, inject_host_prefix=False, request_min_compression_size_bytes=2000)
    made.meta.service_model.__dict__["resolved_protocol"] = protocol
    made._serializer, made._response_parser = create_serializer(protocol, False), create_parser(protocol)
    return handler, made


def operations(service):
    """All but deprecated ones, some of which share their path with the operation that came after them."""
    skipped, known = NOT_SENT.get(service, set()), model(service).raw["operations"]
    return [name for name in sorted(known) if name not in skipped and not known[name].get("deprecated")]


def sendable(service, name):
    shape = model(service).input(name)
    return shape is None or not any(member.is_event_stream for member in shape.members.values())


def sent_protocol(service):
    """The protocol that botocore chooses."""
    said = model(service).protocols
    order = ["json", "rest-json", "rest-xml", "smithy-rpc-v2-cbor", "query", "ec2"]
    return next(protocol for protocol in order if protocol in said)


def parameters(service, protocol, name, rng, density=0.6):
    shape = codec(service, name).input
    params = Values(rng, "input", protocol, density).of(shape) if shape else {}
    fixed = (
        {"Bucket": "bucket-1", "AccountId": "123456789012", "OutpostId": "op-1", "CopySource": "b/k", "ChecksumAlgorithm": "CRC32"}
        if service in ("s3", "s3control")
        else {}
    )
    return {k: fixed.get(k, v) for k, v in params.items() if k not in CLIENT_SIDE.get(service, ())}


def answer_of(service, protocol, name, rng):
    """A random answer, and the same as the operation would give it (an event stream is an iterator)."""
    used, values = codec(service, name), Values(rng, "output", protocol)
    values.whole_seconds = service in ("iam", "sts")
    if used.output is None or name in ANSWERS_CHANGED.get(service, ()):
        return {}, {}
    expected = values.of(used.output)
    if service == "s3":
        expected = {k: v for k, v in expected.items() if k not in ("ContentLength", "Expires") and not k.startswith("Checksum")}
    expected = {k: v for k, v in expected.items() if used.output.members[k].location != "statusCode"} | status_of(used)
    if not used.event_stream:
        return expected, expected
    name, shape = used.event_stream
    expected[name] = [{event: values.of(part)} for event, part in shape.members.items() if not part.own.get("exception")]
    return expected, {**expected, name: iter(expected[name])}


def status_of(used):
    return {k: used.http.get("responseCode", 200) for k, member in used.output.members.items() if member.location == "statusCode"}


def check(service, name, number, protocol=None):
    protocol = protocol or sent_protocol(service)
    handler, made = echo(service, protocol)
    rng, used = Random(f"{service} {name} {number}"), codec(service, name)
    params = parameters(service, protocol, name, rng)
    expected, handler.answer = answer_of(service, protocol, name, rng)
    got = made._make_api_call(name, dict(params))
    assert (handler.route.service, handler.route.operation, handler.route.protocol) == (service, name, protocol)
    if used.input:
        added = ADDED_BY_CLIENT.get(service, ())
        arrived = {k: v for k, v in handler.arrived.items() if k in params or k not in added}
        difference = same(used.input, params, arrived)
        assert difference is None, difference
    if used.output and name not in ANSWERS_CHANGED.get(service, ()):
        got, expected = comparable(used, got), comparable(used, expected)
        difference = same(used.output, expected, got)
        assert difference is None, difference


def comparable(used, answer):
    """Without what HTTP cannot tell apart: no header and an empty one, no payload and an empty one."""
    out = {}
    for key, member in used.output.members.items():
        value = answer.get(key) if key != "ContentLength" else None
        if used.event_stream and key == used.event_stream[0]:
            value = list(value)
        elif key == used.output.trait("payload") and member.kind == "blob":
            value = (value.read() if hasattr(value, "read") else value) or None
        elif member.location == "headers":
            value = value or None
        elif member.trait("locationName", "").lower() == "content-type" and member.location == "header":
            value = value if used.output.trait("payload") is None else None
        if value is not None:
            out[key] = value
    return out


def check_error(service, name, number, protocol=None):
    protocol = protocol or sent_protocol(service)
    handler, made = echo(service, protocol)
    errors = [e["shape"] for e in model(service).raw["operations"][name].get("errors", ())]
    if not errors:
        return
    rng = Random(f"{service} {name} error {number}")
    shape = rng.choice(errors)
    said = models.error(service, shape)
    members = {k: v for k, v in model(service).shape({"shape": shape}).members.items() if k.lower() not in ("message", "code")}
    fields = {k: Values(rng, "output", protocol).of(member) for k, member in members.items()}
    handler.answer = ApiError(said.code, "why <it> & failed ü", said.status, fields=fields)
    with pytest.raises(ClientError) as caught:
        made._make_api_call(name, parameters(service, protocol, name, rng, density=0))
    response = caught.value.response
    if codec(service, name).http.get("method") == "HEAD":
        return
    assert type(caught.value) is made.exceptions.from_code(response["Error"]["QueryErrorCode" if service == "sqs" else "Code"])
    assert type(caught.value) is not ClientError or not model(service).raw["shapes"][shape].get("exception")
    assert response["Error"]["Message"] == "why <it> & failed ü"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == said.status
    for key, value in fields.items():
        if value not in ({}, []):
            assert same(members[key], value, response[key], key) is None


@pytest.mark.parametrize("service", SERVICES)
def test_a_sample_of_operations_goes_both_ways(service):
    names = [name for name in operations(service) if sendable(service, name)]
    rng = Random(service)
    for name in rng.sample(names, min(len(names), 8)):
        check(service, name, 0)
        check_error(service, name, 0)


@seed(20260101)
@settings(max_examples=60, deadline=None, database=None)
@given(st.sampled_from(["s3", "sagemaker", "sagemaker-runtime", "iam", "sts", "logs", "cloudwatch"]), st.data())
def test_the_services_of_the_main_job(service, data):
    name = data.draw(st.sampled_from([name for name in operations(service) if sendable(service, name)]))
    number = data.draw(st.integers(0, 1 << 32))
    check(service, name, number)
    check_error(service, name, number)


@pytest.mark.parametrize("protocol", ["query", "smithy-rpc-v2-cbor"])
@pytest.mark.parametrize("service", OTHER_PROTOCOLS)
def test_the_other_protocols_of_a_service(service, protocol):
    if protocol not in model(service).metadata["protocols"]:
        pytest.skip("not one of its protocols")
    names = [name for name in operations(service) if sendable(service, name)]
    for name in Random(service).sample(names, min(len(names), 15)):
        check(service, name, 1, protocol)
        check_error(service, name, 1, protocol)


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_goes_both_ways(service):
    for name in operations(service):
        if sendable(service, name):
            for number in range(3):
                check(service, name, number)
                check_error(service, name, number)
