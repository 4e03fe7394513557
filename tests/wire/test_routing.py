"""Which operation a request means: hosts, scopes, paths, forms, and honest errors for the rest."""

import pytest

from modelyard.wire import hosts
from modelyard.wire.catalogue import catalogue
from modelyard.wire.codec import codec as codec_of
from modelyard.wire.http import HttpRequest
from modelyard.wire.rest_routes import rest_routes
from modelyard.wire.routing import NeedsBody, Unroutable, route
from modelyard.wire.shapes import model

FORM = ("content-type", "application/x-www-form-urlencoded; charset=utf-8")


def scope(name):
    return ("authorization", f"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/{name}/aws4_request, SignedHeaders=host, Signature=0")


def ask(method, path, *headers, query="", host="127.0.0.1:4566", services=None, body=None):
    return route(HttpRequest(method, path, query, [("host", host), *headers]), services, body)


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("127.0.0.1:4566", None), ("localhost:4566", None), ("[::1]:4566", None), ("s3.localhost:4566", None), ("example.com", None),
        ("buck.localhost:4566", "buck"), ("buck.s3.localhost", "buck"), ("my.dotted.localhost", "my.dotted"),
        ("buck.s3.amazonaws.com", "buck"), ("buck.s3.us-east-1.amazonaws.com", "buck"), ("a.b.s3-eu-west-1.amazonaws.com", "a.b"),
        ("buck.s3.dualstack.eu-west-1.amazonaws.com", "buck"), ("s3.us-east-1.amazonaws.com", None), ("s3.amazonaws.com", None),
        ("BUCK.s3.amazonaws.com:443", "buck"), ("sts.us-east-1.amazonaws.com", None), ("s3.s3.amazonaws.com", "s3"),
    ],
)  # fmt: skip
def test_bucket_of_a_host(host, bucket):
    assert hosts.bucket_of(host) == bucket


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("sts.us-east-1.amazonaws.com", "sts"), ("sts.amazonaws.com", "sts"), ("iam.amazonaws.com", "iam"),
        ("api.sagemaker.eu-west-1.amazonaws.com", "sagemaker"), ("runtime.sagemaker.us-east-1.amazonaws.com", "sagemaker-runtime"),
        ("featurestore-runtime.sagemaker.us-east-1.amazonaws.com", "sagemaker-featurestore-runtime"),
        ("monitoring.us-east-1.amazonaws.com", "cloudwatch"), ("logs.us-east-1.amazonaws.com", "logs"),
        ("streaming-logs.us-east-1.amazonaws.com", "logs"), ("sync-states.us-east-1.amazonaws.com", "stepfunctions"),
        ("123456789012.s3-control.us-east-1.amazonaws.com", "s3control"), ("s3.us-east-1.amazonaws.com", "s3"),
        ("lambda.us-east-1.api.aws", "lambda"), ("ec2.us-east-1.amazonaws.com.cn", "ec2"), ("sqs.us-east-1.amazonaws.com", "sqs"),
        ("api.ecr.us-east-1.amazonaws.com", "ecr"),
    ],
)  # fmt: skip
def test_service_of_a_host(host, service):
    assert service in [entry.service for entry in hosts.services_of(host)]


def test_no_service_in_a_plain_host():
    assert hosts.services_of("127.0.0.1:4566") == () and hosts.services_of("localhost") == ()


@pytest.mark.parametrize(
    ("method", "path", "query", "operation"),
    [
        ("GET", "/", "", "ListBuckets"), ("GET", "/", "x-id=ListBuckets", "ListBuckets"), ("GET", "/b", "", "ListObjects"),
        ("GET", "/b/", "list-type=2&x-id=ListObjects", "ListObjectsV2"), ("GET", "/b/k", "x-id=HeadObject", "GetObject"),
        ("GET", "/b/k", "uploadId=u", "ListParts"), ("PUT", "/b/k", "partNumber=1&uploadId=u", "UploadPart"),
        ("POST", "/b/k", "uploads", "CreateMultipartUpload"), ("POST", "/b/k", "uploads=", "CreateMultipartUpload"),
        ("POST", "/b/k", "uploadId=u", "CompleteMultipartUpload"), ("DELETE", "/b/k", "uploadId=u", "AbortMultipartUpload"),
        ("DELETE", "/b/k", "versionId=v", "DeleteObject"), ("GET", "/b/k", "tagging&versionId=v", "GetObjectTagging"),
        ("GET", "/b", "policy", "GetBucketPolicy"), ("PUT", "/b", "tagging", "PutBucketTagging"), ("GET", "/b", "uploads", "ListMultipartUploads"),
        ("GET", "/b", "lifecycle", "GetBucketLifecycleConfiguration"), ("HEAD", "/b", "", "HeadBucket"), ("HEAD", "/b/k", "", "HeadObject"),
        ("POST", "/b", "delete", "DeleteObjects"), ("GET", "/b", "analytics", "ListBucketAnalyticsConfigurations"),
        ("GET", "/b", "analytics&id=1", "GetBucketAnalyticsConfiguration"), ("GET", "/b//k", "", "GetObject"),
    ],
)  # fmt: skip
def test_s3_paths_and_sub_resources(method, path, query, operation):
    assert ask(method, path, scope("s3"), query=query).operation == operation


@pytest.mark.parametrize(
    ("path", "key"),
    [("/b/k", "k"), ("/b//k", "/k"), ("/b/a%2Fb", "a/b"), ("/b/a+b", "a+b"), ("/b/a%252Fb", "a%2Fb"), ("/b/x/../y", "x/../y"), ("/b/%0A", "\n"), ("/b/k/", "k/")],
)  # fmt: skip
def test_keys_are_decoded_exactly_once(path, key):
    assert ask("GET", path).path_values["Key"] == key


def test_copy_is_told_by_its_header():
    copy = ("x-amz-copy-source", "/a/b")
    assert ask("PUT", "/b/k", copy).operation == "CopyObject"
    assert ask("PUT", "/b/k", copy, query="partNumber=1&uploadId=u").operation == "UploadPartCopy"


@pytest.mark.parametrize("path", ["/b/%ff", "/b/%C3%28"])
def test_bytes_that_are_not_utf8_are_an_invalid_uri(path):
    with pytest.raises(Exception, match="InvalidURI"):
        ask("GET", path)


@pytest.mark.parametrize(
    ("path", "service", "operation"),
    [
        ("/endpoints/e/invocations", "sagemaker-runtime", "InvokeEndpoint"),
        ("/endpoints/e/async-invocations", "sagemaker-runtime", "InvokeEndpointAsync"),
        ("/endpoints/e/invocations-response-stream", "sagemaker-runtime", "InvokeEndpointWithResponseStream"),
        ("/BatchGetRecord", "sagemaker-featurestore-runtime", "BatchGetRecord"),
    ],
)
def test_services_that_sign_as_sagemaker_are_told_apart_by_path(path, service, operation):
    found = ask("POST", path, scope("sagemaker"))
    assert (found.service, found.operation) == (service, operation)


def test_s3control_shares_the_scope_of_s3():
    assert ask("GET", "/v20180820/accesspoint", scope("s3")).service == "s3control"


def test_presigned_urls_of_both_kinds_and_anonymous_calls_are_s3():
    assert ask("GET", "/b/k", query="AWSAccessKeyId=A&Signature=s&Expires=1").service == "s3"
    assert (
        ask("GET", "/b/k", query="X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20260101%2Fus-east-1%2Fs3%2Faws4_request").service
        == "s3"
    )
    assert ask("GET", "/b/k").operation == "GetObject"


def test_forms_need_their_body_and_say_action_and_version():
    with pytest.raises(NeedsBody):
        ask("POST", "/", FORM, scope("iam"))
    found = ask("POST", "/", FORM, scope("iam"), body=b"Action=GetRole&Version=2010-05-08&RoleName=x")
    assert (found.service, found.operation, found.protocol) == ("iam", "GetRole", "query")
    found = ask("POST", "/", FORM, body=b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15")
    assert (found.service, found.operation) == ("sts", "AssumeRoleWithWebIdentity")
    assert ask("GET", "/", scope("sts"), query="Action=GetCallerIdentity&Version=2011-06-15").operation == "GetCallerIdentity"
    found = ask("POST", "/", FORM, scope("elasticloadbalancing"), body=b"Action=DescribeLoadBalancers&Version=2015-12-01")
    assert found.service == "elbv2"
    found = ask("POST", "/", FORM, scope("elasticloadbalancing"), body=b"Action=DescribeLoadBalancers&Version=2012-06-01")
    assert found.service == "elb"
    assert ask("POST", "/", FORM, scope("ec2"), body=b"Action=DescribeVpcs&Version=2016-11-15").protocol == "ec2"


def test_targets_and_rpc_paths():
    assert ask("POST", "/", ("x-amz-target", "Logs_20140328.PutLogEvents"), scope("logs")).protocol == "json"
    for target in ("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents", "CloudTrail_20131101.LookupEvents"):
        assert ask("POST", "/", ("x-amz-target", target), scope("cloudtrail")).service == "cloudtrail"
    found = ask("POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", ("smithy-protocol", "rpc-v2-cbor"))
    assert (found.service, found.operation, found.protocol) == ("cloudwatch", "PutMetricData", "smithy-rpc-v2-cbor")
    found = ask("POST", "/", FORM, scope("monitoring"), body=b"Action=PutMetricData&Version=2010-08-01")
    assert (found.service, found.protocol) == ("cloudwatch", "query")


@pytest.mark.parametrize(
    ("arguments", "extra", "code", "protocol", "named"),
    [
        (("POST", "/", ("x-amz-target", "Nobody.Knows")), {}, "UnknownOperationException", "json", "Nobody.Knows"),
        (("POST", "/", ("x-amz-target", "SageMaker.MakeTea")), {}, "UnknownOperationException", "json", "MakeTea"),
        (("POST", "/", ("x-amz-target", "SageMaker.ListModels")), {"services": {"s3"}}, "NotImplemented", "json", "sagemaker:ListModels"),
        (("POST", "/", FORM, scope("iam")), {"body": b"Action=MakeTea&Version=2010-05-08"}, "InvalidAction", "query", "MakeTea"),
        (("POST", "/", FORM, scope("iam")), {"body": b""}, "MissingAction", "query", "Action"),
        (("POST", "/", FORM, scope("sns")), {"body": b"Action=ListTopics&Version=2010-03-31", "services": {"iam"}}, "NotImplemented", "query", "sns:ListTopics"),
        (("GET", "/2015-03-31/functions", scope("lambda")), {"services": {"s3"}}, "NotImplemented", "rest-json", "lambda:ListFunctions"),
        (("GET", "/tea", scope("lambda")), {}, "UnknownOperationException", "rest-json", "/tea"),
        (("GET", "/", scope("nothing-known")), {}, "UnknownService", "rest-xml", "nothing-known"),
        (("PATCH", "/b/k", scope("s3")), {}, "MethodNotAllowed", "rest-xml", "method"),
        (("POST", "/service/Nobody/operation/X"), {}, "UnknownOperationException", "smithy-rpc-v2-cbor", "Nobody"),
    ],
)  # fmt: skip
def test_what_is_not_served_is_named_with_an_answer_that_clients_do_not_retry(arguments, extra, code, protocol, named):
    with pytest.raises(Unroutable) as caught:
        ask(*arguments, **extra)
    assert (caught.value.code, caught.value.protocol) == (code, protocol)
    assert named in caught.value.message and caught.value.status in (501, *range(400, 500))


def test_the_catalogue_agrees_with_the_models():
    for service in ("s3", "sagemaker", "sagemaker-runtime", "iam", "sts", "logs", "cloudwatch", "sqs", "lambda", "ec2"):
        entry, found = catalogue().by_service[service], model(service)
        assert entry.protocols == found.protocols
        assert entry.target == found.metadata.get("targetPrefix", "") and entry.version == found.metadata["apiVersion"]
        assert entry.signing == found.metadata.get("signingName", found.metadata["endpointPrefix"])


def test_the_short_way_to_an_operation_finds_what_the_long_one_finds():
    shorter = 0
    for templates in rest_routes("s3")._by_method.values():
        for template in templates:
            assert template.usual == max(template.plain, key=lambda one: one.rank({}, {}), default=None)
            for query in ({}, {"X-Amz-Expires": ["60"], "X-Amz-Date": ["x"]}, {"versionId": ["v"]}):
                for headers in ({}, {"host": "h", "range": "bytes=0-1"}):
                    if template.fitting(query) is template.plain and template.plain and template.telling.isdisjoint({*query, *headers}):
                        assert template.usual == max(template.plain, key=lambda one: one.rank(query, headers))
                        shorter += len(template.plain) > 1
    assert shorter


def test_members_hoisted_into_the_query_yield_to_headers():
    codec = codec_of("s3", "GetObject")
    query = "X-Amz-Request-Payer=requester&x-amz-checksum-mode=ENABLED"
    for headers, wanted in (([], "requester"), ([("x-amz-request-payer", "other")], "other")):
        request = HttpRequest("GET", "/b/k", query, [("host", "localhost"), *headers])
        parsed = codec.read(route(request), request, b"")
        assert (parsed["RequestPayer"], parsed["ChecksumMode"], parsed["Bucket"], parsed["Key"]) == (wanted, "ENABLED", "b", "k")
