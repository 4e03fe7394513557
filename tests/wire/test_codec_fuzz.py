"""Whatever arrives, the answer is a request that was understood or an ApiError with a 4xx: never another exception."""

import cbor2
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import BytesBody
from modelyard.wire.codec import codec, error_response
from modelyard.wire.http import HttpRequest
from modelyard.wire.routing import NeedsBody, Unroutable, route

SCOPES = ["s3", "sagemaker", "iam", "sts", "monitoring", "logs", "lambda", "ec2", "sqs", "nobody", ""]
ALPHABET = "aZ09/%+&=?.-_{}[]<>\"'\\ :;\u00e9\x01\n"
text = st.text(ALPHABET, max_size=60)
bounded = settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def serve(request, body):
    """What the gateway does with a request, as far as the wire goes."""
    try:
        try:
            found = route(request)
        except NeedsBody:
            found = route(request, body=body)
        used = codec(found.service, found.operation, found.protocol)
        try:
            parsed = used.parse(found, request, BytesBody(body) if used.streams_in else body)
            used.validate(parsed)
        except ApiError as error:
            assert 400 <= error.status < 500
            assert used.error(error, "rid").status == error.status
    except Unroutable as error:
        assert 400 <= error.status < 500
        assert error_response(error.protocol, error, "rid", error.service, request.method).status == error.status
    except ApiError as error:
        assert 400 <= error.status < 500


def signed(name, *headers):
    return [("host", "127.0.0.1"), ("authorization", f"AWS4-HMAC-SHA256 Credential=A/2/us-east-1/{name}/aws4_request, S"), *headers]


@seed(1)
@bounded
@given(st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "X"]), text, text, st.sampled_from(SCOPES), text, st.binary(max_size=80))
def test_any_path_query_host_and_scope(method, path, query, name, host, body):
    serve(HttpRequest(method, "/" + path, query, signed(name)[1:] + [("host", host)]), body)


@seed(2)
@bounded
@given(
    st.lists(st.tuples(text, text), max_size=6),
    st.sampled_from(["content-type", "authorization", "x-amz-target", "content-encoding"]),
    text,
)
def test_any_headers(headers, special, value):
    serve(HttpRequest("POST", "/", "", [(k.lower(), v) for k, v in headers] + [(special, value)]), b"x")


JSON_OPS = ["SageMaker.CreateTrainingJob", "SageMaker.Search", "Logs_20140328.PutLogEvents", "DynamoDB_20120810.PutItem"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["TrainingJobName", "Tags", "Item", "logEvents", "M", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@seed(3)
@bounded
@given(st.sampled_from(JSON_OPS), st.binary(max_size=60) | json_values.map(lambda v: __import__("json").dumps(v).encode()))
def test_any_json(target, body):
    serve(HttpRequest("POST", "/", "", signed("x", ("x-amz-target", target))), body)


def test_deep_json_xml_cbor_and_forms():
    for target in JSON_OPS:
        for body in (b"[" * 100_000, b'{"SearchExpression":{"SubExpressions":[' * 400 + b"]}" * 400, b'{"Item":{"a":{"M":{"a":' * 300):
            serve(HttpRequest("POST", "/", "", signed("x", ("x-amz-target", target))), body)
    deep = b'{"Item":{"a":' + b'{"M":{"a":' * 490 + b"{}" + b"}}" * 490 + b"}}"
    serve(HttpRequest("POST", "/", "", signed("x", ("x-amz-target", JSON_OPS[3]))), deep)
    serve(HttpRequest("POST", "/b", "delete", signed("s3")), b"<Delete>" * 10_000)
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'
    serve(HttpRequest("POST", "/b", "delete", signed("s3")), bomb)
    form = [("content-type", "application/x-www-form-urlencoded")]
    serve(HttpRequest("POST", "/", "", signed("iam", *form)), b"Action=GetRole&Version=2010-05-08&" + b"a." * 5000 + b"=1")
    serve(HttpRequest("POST", "/", "", signed("iam", *form)), b"Action=GetRole&" + b"a=1&" * 50_000)
    serve(HttpRequest("POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", "", []), b"\x81" * 50_000)


@seed(4)
@bounded
@given(st.text("<>/abDeleteObjctKy&;!?\"'= \x00é", max_size=80).map(str.encode) | st.binary(max_size=60))
def test_any_xml(body):
    serve(HttpRequest("POST", "/b", "delete", signed("s3")), body)
    serve(HttpRequest("PUT", "/b", "tagging", signed("s3")), b"<Tagging><TagSet>" + body + b"</TagSet></Tagging>")


@seed(5)
@bounded
@given(st.binary(max_size=60) | json_values.map(cbor2.dumps))
def test_any_cbor(body):
    serve(
        HttpRequest("POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", "", [("smithy-protocol", "rpc-v2-cbor")]),
        body,
    )


@seed(6)
@bounded
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Tags", "Tags.member.1", "Tags.member.x.Key", "Tags.member.-1", "RoleName", "RoleName.a", "..", ""]), text
        ),
        max_size=6,
    )
)
def test_any_form(pairs):
    body = "&".join(["Action=CreateRole", "Version=2010-05-08", *(f"{k}={v}" for k, v in pairs)]).encode("utf-8", "replace")
    serve(HttpRequest("POST", "/", "", signed("iam", ("content-type", "application/x-www-form-urlencoded"))), body)


def test_document_types_are_refused():
    used = codec("s3", "DeleteObjects")
    try:
        used.read_payload(b'<!DOCTYPE x [<!ENTITY a "b">]><Delete><Object><Key>&a;</Key></Object></Delete>')
    except ApiError as error:
        assert error.code == "MalformedXML"
    else:
        raise AssertionError("an entity was expanded")
