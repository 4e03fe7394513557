"""boto3 as users configure it, against a real platform."""

import json
import time

import pytest

from tests.journeys import jobs


@pytest.fixture(scope="module")
def told(yard):
    return yard.python("boto3", "boto3_wire.py", yard.endpoint, timeout=240)


def test_hard_coded_hosts(told):
    assert told["hard_sts"]
    assert told["hard_s3"] == "host"


def test_pages(told):
    assert told["pages"] == [10, 10, 5]
    assert told["resource"] == sum(range(25))
    assert told["buckets"]


def test_presigned(told):
    assert told["signed_put"] == 200
    assert (told["signed_s3"], told["signed_s3v4"]) == ("by requests", "by requests")
    assert told["other_s3"] == told["other_s3v4"] == [403, True]


def test_https_with_trailers_and_multipart(told):
    assert told["secure"].startswith("https://127.0.0.1:")
    assert told["same_whole"] and told["same_parts"] and told["range"]
    whole, parts = told["head_whole"], told["head_parts"]
    assert whole["ContentLength"] == parts["ContentLength"] == 20 << 20
    assert whole["ContentEncoding"] is None  # aws-chunked is of the wire, not of the object
    assert (whole["ChecksumType"], parts["ChecksumType"]) == ("FULL_OBJECT", "COMPOSITE")
    assert parts["ETag"].endswith('-3"') and parts["ChecksumCRC32"].endswith("-3")


def test_many_at_once(told):
    assert told["errors"] == []


def test_errors(told):
    assert told["no_key"] == ["NoSuchKey", 404]
    assert told["no_bucket"] == ["NoSuchBucket", 404]
    assert told["wrong_secret"] == ["SignatureDoesNotMatch", 403]
    assert told["wrong_key"] == ["InvalidClientTokenId", 403]


def test_response_stream(yard):
    """A handler that answers a generator: the pieces arrive while it is still at work."""
    jobs.submit(yard, "streams", "stream")
    job = jobs.finished(yard, "streams")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    jobs.deploy(yard, job, "streams")
    runtime = yard.client("sagemaker-runtime")
    began, came, text = time.monotonic(), [], b""
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName="streams", ContentType="application/json", Accept="text/plain", Body=json.dumps({"pause": 1.0})
    )
    for event in answer["Body"]:
        text += event["PayloadPart"]["Bytes"]
        came.append(time.monotonic() - began)
    assert text == b"one\ntwo\nthree\nfour\n"
    assert len(came) >= 4
    assert came[-1] - came[0] >= 1.0  # not gathered: three pauses of a second, of which a busy machine may swallow some
    whole = runtime.invoke_endpoint(EndpointName="streams", ContentType="application/json", Accept="text/plain", Body='{"pause": 0}')
    assert whole["Body"].read() == text
    yard.client("sagemaker").delete_endpoint(EndpointName="streams")
