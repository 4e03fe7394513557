"""The path of a call, with real boto3 clients: in process and over sockets."""

from __future__ import annotations

import asyncio
import json
import threading

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from modelyard.kernel.identity import Credential
from modelyard.kernel.service import Service
from modelyard.wire.gateway import Gateway
from modelyard.wire.http import HttpRequest
from tests.support import inproc
from tests.support.doors import KEY, ROOT, SECRET, FakeIdentity, make_platform, serving

sts = Service("sts")
s3 = Service("s3")
sagemaker = Service("sagemaker")
STORED: dict[str, bytes] = {}


@sts.operation
def get_caller_identity(call, request):
    return {"Account": call.account, "Arn": call.principal.arn, "UserId": call.principal.user_id}


@s3.operation
def put_object(call, request):
    body = request["Body"]
    STORED[request["Key"]] = b"".join(body)
    STORED[request["Key"] + "/trailers"] = json.dumps(dict(body.trailers)).encode()
    return {"ETag": '"x"'}


@s3.operation
def get_object(call, request):
    return {"Body": iter([STORED[request["Key"]]]), "ContentLength": len(STORED[request["Key"]])}


@s3.operation
def list_buckets(call, request):
    return {"Buckets": []}


@sagemaker.operation
async def describe_model(call, request):
    await asyncio.sleep(0)
    return {"ModelName": request["ModelName"], "ModelArn": "arn:aws:sagemaker:us-east-1:123456789012:model/m", "CreationTime": 1.5}


@sagemaker.operation
def delete_model(call, request):
    raise RuntimeError("a bug with a secret in it")


def gateway(**settings):
    return Gateway(make_platform(sts, s3, sagemaker, **settings))


def test_boto3_in_process_reaches_sync_and_async_operations():
    door = gateway()
    assert inproc.client(door, "sts").get_caller_identity()["Arn"] == ROOT.arn
    assert inproc.client(door, "sagemaker").describe_model(ModelName="m")["ModelName"] == "m"
    assert inproc.client(door, "s3").list_buckets()["Buckets"] == []


def test_a_bug_is_an_internal_failure_with_a_request_id_and_no_trace(caplog):
    with pytest.raises(ClientError) as problem:
        inproc.client(gateway(), "sagemaker").delete_model(ModelName="m")
    answer = problem.value.response
    assert answer["Error"]["Code"] == "InternalFailure" and answer["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert answer["ResponseMetadata"]["RequestId"] in caplog.text
    assert "secret" not in str(problem.value)


def test_an_operation_nobody_built_is_a_501_naming_it():
    with pytest.raises(ClientError) as problem:
        inproc.client(gateway(), "sagemaker").list_apps()
    assert problem.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert "ListApps" in str(problem.value)


@pytest.mark.parametrize(
    ("service", "call", "code", "status"),
    [
        ("sts", "get_caller_identity", "InvalidClientTokenId", 403),
        ("sagemaker", "list_models", "UnrecognizedClientException", 400),
        ("s3", "list_buckets", "InvalidAccessKeyId", 403),
    ],
)
def test_an_unknown_key_in_the_services_dialect(service, call, code, status):
    with pytest.raises(ClientError) as problem:
        getattr(inproc.client(gateway(), service, key="AKIANOBODY"), call)()
    assert (problem.value.response["Error"]["Code"], problem.value.response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
        ("sagemaker", "list_models", "InvalidSignatureException"),
        ("s3", "list_buckets", "SignatureDoesNotMatch"),
    ],
)
def test_a_wrong_secret(service, call, code):
    with pytest.raises(ClientError) as problem:
        getattr(inproc.client(gateway(), service, secret="wrong"), call)()
    assert problem.value.response["Error"]["Code"] == code


def test_session_tokens():
    identity = FakeIdentity(
        Credential("ASIA1", SECRET, ROOT, "token", 4e9),
        Credential("ASIA2", SECRET, ROOT, "token", 1.0),
    )
    door = Gateway(make_platform(sts, s3, sagemaker, identity=identity))

    def code(service="sts", **who):
        try:
            client = inproc.client(door, service, **who)
            client.get_caller_identity() if service == "sts" else client.list_buckets()
        except ClientError as problem:
            return problem.response["Error"]["Code"]
        return None

    assert code(key="ASIA1", token="token") is None
    assert code(key="ASIA1", token="other") == "InvalidClientTokenId"
    assert code(key="ASIA1") == "InvalidClientTokenId"
    assert code(key="ASIA2", token="token") == "ExpiredToken"
    assert code(key=KEY, token="token") == "InvalidClientTokenId"
    assert code("s3", key="ASIA2", token="token") == "ExpiredToken"
    assert code("s3", key="ASIA1", token="other") == "InvalidToken"


async def test_over_sockets_put_and_get_of_every_size():
    door = gateway()
    async with serving(door.handle, pool=door.pool) as server:

        def work():
            client = boto3.client(
                "s3",
                endpoint_url=f"http://127.0.0.1:{server.port}",
                aws_access_key_id=KEY,
                aws_secret_access_key=SECRET,
                region_name="us-east-1",
                config=Config(retries={"max_attempts": 0}),
            )
            for size in (0, 1, 70_000, 5_000_000):
                data = bytes(size)
                client.put_object(Bucket="bucket", Key="k", Body=data)
                assert client.get_object(Bucket="bucket", Key="k")["Body"].read() == data
            for version in ("s3", "s3v4"):
                signer = boto3.client(
                    "s3",
                    endpoint_url=f"http://127.0.0.1:{server.port}",
                    aws_access_key_id=KEY,
                    aws_secret_access_key=SECRET,
                    region_name="us-east-1",
                    config=Config(signature_version=version),
                )
                import requests

                url = signer.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "k"})
                assert len(requests.get(url, timeout=10).content) == 5_000_000
                assert requests.get(url.replace("Expires=3600", "Expires=3601") + "0", timeout=10).status_code == 403

        await asyncio.to_thread(work)


async def test_health_and_unknown_pages():
    door = gateway()
    answer = await door.handle(HttpRequest("GET", "/_modelyard/health", "", [("host", "h")]))
    said = json.loads(answer.body)
    assert answer.status == 200 and said["services"]["s3"] == "ready" and said["version"]
    assert (await door.handle(HttpRequest("GET", "/_modelyard/nothing", "", [("host", "h")]))).status == 404


def test_threads_are_not_held_by_async_operations():
    door = gateway()
    assert inproc.client(door, "sagemaker").describe_model(ModelName="m")
    assert not [t for t in threading.enumerate() if t.name.startswith("call") and t in door.pool._threads]


def test_open_mode_takes_any_key_and_no_signature():
    class Anyone(FakeIdentity):
        """As IAM's identity in open mode: 12 digits choose the account."""

        def credential(self, access_key):
            from dataclasses import replace

            account = access_key if len(access_key) == 12 and access_key.isdigit() else "123456789012"
            return Credential(access_key, "", replace(ROOT, account=account))

    door = Gateway(make_platform(sts, s3, sagemaker, identity=Anyone(), auth="open"))
    assert inproc.client(door, "sts", key="210987654321", secret="x").get_caller_identity()["Account"] == "210987654321"
    assert inproc.client(door, "sts", key="test", secret="test").get_caller_identity()["Account"] == "123456789012"
    client = inproc.client(door, "s3", key="test", secret="test")
    client.put_object(Bucket="bucket", Key="open", Body=b"abc")
    assert client.get_object(Bucket="bucket", Key="open")["Body"].read() == b"abc"


async def test_unsigned_requests():
    door = gateway()
    form = [("host", "h"), ("content-type", "application/x-www-form-urlencoded")]
    from modelyard.kernel.service import BytesBody

    async def ask(method, path, headers, body=b""):
        return await door.handle(HttpRequest(method, path, "", headers, BytesBody(body)))

    unsigned = await ask("POST", "/", form, b"Action=GetCallerIdentity&Version=2011-06-15")
    assert unsigned.status == 403 and b"MissingAuthenticationToken" in unsigned.body
    target = await ask("POST", "/", [("host", "h"), ("x-amz-target", "SageMaker.DescribeModel")], b'{"ModelName":"m"}')
    assert target.status == 400 and b"MissingAuthenticationToken" in target.body
    STORED["anonymous"] = b"seen"
    assert (await ask("GET", "/bucket/anonymous", [("host", "h")])).status == 200
    assert STORED["anonymous"] == b"seen"
    old = await ask("GET", "/bucket/anonymous", [("host", "h"), ("authorization", "AWS a:b")])
    assert 400 <= old.status < 500


async def test_a_body_that_is_too_large_is_refused_before_it_is_read():
    from modelyard.wire.limits import Limits

    door = Gateway(make_platform(sts, s3, sagemaker), limits=Limits(gathered_bytes=1000))
    async with serving(door.handle, pool=door.pool) as server:
        from tests.support.doors import talk
        from tests.wire.test_sigv4 import sign

        request = sign(headers={"X-Amz-Target": "SageMaker.DescribeModel"}, body=b"x" * 2000)
        head = "".join(f"{n}: {v}\r\n" for n, v in request.headers if n != "content-length")
        data = f"POST / HTTP/1.1\r\n{head}content-length: 2000\r\nexpect: 100-continue\r\n\r\n".encode()
        out = await asyncio.to_thread(talk, server.port, data)
    assert out.startswith(b"HTTP/1.1 413") and b"100 Continue" not in out
