"""A real botocore client against router and codecs: hand-made calls that stand for what the labs do."""

import io

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.errors import ApiError
from modelyard.wire.codec import codec
from modelyard.wire.routing import NeedsBody, route
from tests.support.wire_client import client, without_metadata


class Server:
    """Routes, parses, validates and answers what it was told to; remembers what it saw."""

    def __init__(self, answer=None):
        self.answer, self.seen = answer if answer is not None else {}, None

    def __call__(self, request, body):
        try:
            found = route(request)
        except NeedsBody:
            found = route(request, body=body)
        used = codec(found.service, found.operation, found.protocol)
        try:
            parsed = used.parse(found, request, request.body if used.streams_in else body)
            used.validate(parsed)
            self.seen = (found.operation, parsed)
            if isinstance(self.answer, Exception):
                raise self.answer
            return used.serialise(self.answer, "rid-1", strict=True)
        except ApiError as error:
            return used.error(error, "rid-1")


def test_s3_put_object_streams_its_body_and_keeps_the_key():
    server = Server({"ETag": '"abc"', "VersionId": "v1"})
    made = client("s3", server)
    key = "a/ b+ü%2F~/c=?&#"
    answer = made.put_object(Bucket="buck", Key=key, Body=io.BytesIO(b"data"), Metadata={"A-b": "x"}, ContentType="text/csv")
    operation, seen = server.seen
    assert operation == "PutObject" and seen["Key"] == key and seen["Bucket"] == "buck"
    assert seen["Body"].read() == b"data" and seen["Metadata"] == {"a-b": "x"} and seen["ContentType"] == "text/csv"
    assert answer["ETag"] == '"abc"' and answer["VersionId"] == "v1"
    assert answer["ResponseMetadata"]["RequestId"] == "rid-1"


def test_s3_virtual_host_puts_the_bucket_into_the_path():
    server = Server({"KeyCount": 0, "IsTruncated": False})
    made = client("s3", server, endpoint="http://localhost:4566", s3={"addressing_style": "virtual"})
    made.list_objects_v2(Bucket="my-bucket", Prefix="x y")
    assert server.seen[0] == "ListObjectsV2"
    assert server.seen[1]["Bucket"] == "my-bucket" and server.seen[1]["Prefix"] == "x y"


def test_s3_empty_bucket_list_is_there():
    server = Server({"Buckets": [], "Owner": {"ID": "me"}})
    answer = client("s3", server).list_buckets()
    assert answer["Buckets"] == [] and answer["Owner"] == {"ID": "me"}


def test_s3_get_object_with_headers_and_bytes():
    server = Server({"Body": b"hello", "ContentLength": 5, "LastModified": 1_700_000_000.0, "Metadata": {"k": "v"}})
    answer = client("s3", server).get_object(Bucket="b", Key="k")
    assert answer["Body"].read() == b"hello" and answer["Metadata"] == {"k": "v"}
    assert answer["LastModified"].timestamp() == 1_700_000_000


@pytest.mark.parametrize(("value", "want"), [("eu-west-1", "eu-west-1"), ("", None)])
def test_s3_bucket_location(value, want):
    assert client("s3", Server({"LocationConstraint": value})).get_bucket_location(Bucket="b")["LocationConstraint"] == want


def test_s3_delete_objects_and_complete_multipart_read_xml():
    server = Server({"Deleted": [{"Key": "a"}], "Errors": [{"Key": "b", "Code": "AccessDenied"}]})
    answer = client("s3", server).delete_objects(Bucket="b", Delete={"Objects": [{"Key": "a"}, {"Key": "b"}], "Quiet": False})
    assert server.seen[1]["Delete"] == {"Objects": [{"Key": "a"}, {"Key": "b"}], "Quiet": False}
    assert answer["Errors"][0]["Code"] == "AccessDenied"
    server = Server({"ETag": "e"})
    parts = [{"ETag": "1", "PartNumber": 1}, {"ETag": "2", "PartNumber": 2}]
    client("s3", server).complete_multipart_upload(Bucket="b", Key="k", UploadId="u", MultipartUpload={"Parts": parts})
    assert server.seen == ("CompleteMultipartUpload", {"Bucket": "b", "Key": "k", "UploadId": "u", "MultipartUpload": {"Parts": parts}})


def test_s3_errors_with_and_without_body():
    server = Server(ApiError("NoSuchKey", "The specified key does not exist.", 404, fields={"Key": "k"}))
    with pytest.raises(ClientError) as caught:
        client("s3", server).get_object(Bucket="b", Key="k")
    assert caught.value.response["Error"] == {"Code": "NoSuchKey", "Message": "The specified key does not exist.", "Key": "k"}
    assert type(caught.value).__name__ == "NoSuchKey"
    with pytest.raises(ClientError) as caught:
        client("s3", server).head_object(Bucket="b", Key="k")
    assert caught.value.response["Error"]["Code"] == "404"


def test_sts_and_iam_by_query():
    server = Server({"Account": "123456789012", "Arn": "arn:aws:sts::123456789012:assumed-role/r/s", "UserId": "AROA:s"})
    assert without_metadata(client("sts", server).get_caller_identity()) == server.answer
    server = Server({"EvaluationResults": [{"EvalActionName": "s3:GetObject", "EvalDecision": "allowed"}], "IsTruncated": False})
    answer = client("iam", server).simulate_principal_policy(PolicySourceArn="arn:aws:iam::123456789012:role/x", ActionNames=["a:B", "c:D"])
    assert server.seen[1] == {"PolicySourceArn": "arn:aws:iam::123456789012:role/x", "ActionNames": ["a:B", "c:D"]}
    assert answer["EvaluationResults"][0]["EvalDecision"] == "allowed"
    with pytest.raises(ClientError) as caught:
        client("iam", Server(ApiError("NoSuchEntity", "no role", 404))).get_role(RoleName="x")
    assert type(caught.value).__name__ == "NoSuchEntityException"


def test_sagemaker_invoke_endpoint():
    server = Server({"Body": b"1.0", "ContentType": "text/csv; charset=utf-8", "InvokedProductionVariant": "A"})
    made = client("sagemaker-runtime", server)
    answer = made.invoke_endpoint(EndpointName="e", Body=b"1,2", ContentType="text/csv", TargetVariant="A", CustomAttributes="x=1, y")
    assert server.seen == (
        "InvokeEndpoint",
        {"EndpointName": "e", "Body": b"1,2", "ContentType": "text/csv", "TargetVariant": "A", "CustomAttributes": "x=1, y"},
    )
    assert answer["Body"].read() == b"1.0" and answer["ContentType"] == "text/csv; charset=utf-8"


def test_sagemaker_model_error_has_its_members():
    error = ApiError("ModelError", "Received client error (400)", 424, fields={"OriginalStatusCode": 400, "OriginalMessage": "bad"})
    with pytest.raises(ClientError) as caught:
        client("sagemaker-runtime", Server(error)).invoke_endpoint(EndpointName="e", Body=b"")
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424 and response["Error"]["Code"] == "ModelError"
    assert response["OriginalStatusCode"] == 400 and response["OriginalMessage"] == "bad"


def test_response_stream_arrives_as_events():
    server = Server({"ContentType": "text/plain", "Body": iter([{"PayloadPart": {"Bytes": b"a"}}, {"PayloadPart": {"Bytes": b"b"}}])})
    answer = client("sagemaker-runtime", server).invoke_endpoint_with_response_stream(EndpointName="e", Body=b"")
    assert list(answer["Body"]) == [{"PayloadPart": {"Bytes": b"a"}}, {"PayloadPart": {"Bytes": b"b"}}]


def test_logs_and_metrics():
    server = Server({"events": [{"timestamp": 1, "message": "m", "ingestionTime": 2}], "nextForwardToken": "f/1"})
    answer = client("logs", server).get_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamName="j/algo-1")
    assert answer["events"] == server.answer["events"]
    server = Server({})
    data = [{"MetricName": "m", "Value": 1.5, "Dimensions": [{"Name": "a", "Value": "b"}], "Timestamp": 1_700_000_000}]
    client("cloudwatch", server).put_metric_data(Namespace="N", MetricData=data)
    assert server.seen == ("PutMetricData", {"Namespace": "N", "MetricData": data})
    with pytest.raises(ClientError) as caught:
        client("cloudwatch", Server(ApiError("ResourceNotFound", "gone", 404))).get_dashboard(DashboardName="x")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFound"
