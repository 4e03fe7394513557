"""Conditions of bucket policies: S3's own keys, each allowing and refusing."""

import datetime
import json
import uuid

import boto3
import pytest
import requests
from botocore import UNSIGNED
from botocore.config import Config

from tests.services.s3.yard import ACCOUNT, OTHER

THEM = f"arn:aws:iam::{OTHER}:root"


@pytest.fixture
def other(yard):
    return yard.client(account=OTHER)


@pytest.fixture
def allow(s3, bucket):
    """`allow("PutObject", {operator: {key: value}})`: the other account may do it under this condition."""

    def put(action, condition, on="/*", principal=None):
        statement = {"Effect": "Allow", "Principal": principal or {"AWS": THEM}, "Action": f"s3:{action}", "Condition": condition,
                     "Resource": f"arn:aws:s3:::{bucket}{on}"}  # fmt: skip
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    return put


def test_a_delete_on_condition_of_an_etag_asks_for_the_right_to_read(s3, other, bucket, allow, refused):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    allow("DeleteObject", {})
    refused(lambda: other.delete_object(Bucket=bucket, Key="k", IfMatch=etag), "AccessDenied", 403)
    told = other.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "ETag": etag}]})
    assert told["Errors"][0]["Code"] == "AccessDenied"
    assert s3.head_object(Bucket=bucket, Key="k")
    other.delete_object(Bucket=bucket, Key="k", IfMatch="*")


def test_listing(other, bucket, allow, refused):
    allow("ListBucket", {"StringEquals": {"s3:prefix": "a/", "s3:delimiter": "/"}, "NumericLessThanEquals": {"s3:max-keys": "10"}}, on="")
    other.list_objects_v2(Bucket=bucket, Prefix="a/", Delimiter="/", MaxKeys=10)
    refused(lambda: other.list_objects_v2(Bucket=bucket, Prefix="b/", Delimiter="/", MaxKeys=10), "AccessDenied", 403)
    refused(lambda: other.list_objects_v2(Bucket=bucket, Prefix="a/", Delimiter="/", MaxKeys=11), "AccessDenied", 403)
    refused(lambda: other.list_objects_v2(Bucket=bucket, Prefix="a/", Delimiter="/"), "AccessDenied", 403)


@pytest.mark.parametrize(
    "condition, good, bad",
    [
        ({"StringEquals": {"s3:x-amz-server-side-encryption": "AES256"}}, {"ServerSideEncryption": "AES256"}, {}),
        ({"StringEquals": {"s3:x-amz-storage-class": "STANDARD_IA"}}, {"StorageClass": "STANDARD_IA"}, {"StorageClass": "GLACIER"}),
        ({"StringEquals": {"s3:RequestObjectTag/kind": "ok"}}, {"Tagging": "kind=ok"}, {"Tagging": "kind=no"}),
        ({"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["kind"]}}, {"Tagging": "kind=1"}, {"Tagging": "kind=1&more=2"}),
        ({"StringEquals": {"s3:if-none-match": "*"}}, {"IfNoneMatch": "*"}, {}),
        ({"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}},
         {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}, {}),
    ],
)  # fmt: skip
def test_putting(other, bucket, allow, refused, condition, good, bad):
    allow("PutObject*", condition)
    other.put_object(Bucket=bucket, Key="good", Body=b"x", **good)
    refused(lambda: other.put_object(Bucket=bucket, Key="bad", Body=b"x", **bad), "AccessDenied", 403)


def test_tags_of_what_is_there(s3, other, bucket, allow, refused):
    allow("GetObject*", {"StringEquals": {"s3:ExistingObjectTag/open": "yes"}})
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="open=yes")
    other.get_object(Bucket=bucket, Key="k")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "open", "Value": "no"}]})
    refused(lambda: other.get_object(Bucket=bucket, Key="k"), "AccessDenied", 403)


def test_versions(s3, other, bucket, allow, refused):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    one, two = (s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"] for _ in range(2))
    allow("GetObjectVersion", {"StringEquals": {"s3:VersionId": one}})
    other.get_object(Bucket=bucket, Key="k", VersionId=one)
    refused(lambda: other.get_object(Bucket=bucket, Key="k", VersionId=two), "AccessDenied", 403)


def test_how_it_was_signed(yard, s3, other, bucket, allow, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    new = yard.client(account=OTHER, signature_version="s3v4")
    in_query, old = (c.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}) for c in (new, other))
    assert "X-Amz-Signature" in in_query and "AWSAccessKeyId" in old

    def outcome():
        try:
            other.get_object(Bucket=bucket, Key="k")
            header = 200
        except other.exceptions.ClientError as problem:
            header = problem.response["ResponseMetadata"]["HTTPStatusCode"]
        return header, requests.get(in_query, timeout=10).status_code, requests.get(old, timeout=10).status_code

    allow("GetObject", {"StringEquals": {"s3:authType": "REST-QUERY-STRING"}})
    assert outcome() == (403, 200, 200)
    allow("GetObject", {"StringEquals": {"s3:signatureversion": "AWS4-HMAC-SHA256"}})
    assert outcome() == (200, 200, 403)
    allow("GetObject", {"NumericLessThan": {"s3:signatureAge": 600_000}})
    assert outcome() == (200, 200, 403)
    allow("GetObject", {"NumericGreaterThan": {"s3:signatureAge": 600_000}})
    assert outcome() == (403, 403, 403)


def test_transport(yard, s3, bucket, allow, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    allow("GetObject", {"Bool": {"aws:SecureTransport": "true"}}, principal="*")
    over_tls = yard.client(scheme="https", signature_version=UNSIGNED)
    over_tls.get_object(Bucket=bucket, Key="k")
    plain = yard.client(signature_version=UNSIGNED)
    refused(lambda: plain.get_object(Bucket=bucket, Key="k"), "AccessDenied", 403)
    allow("GetObject", {"NumericGreaterThanEquals": {"s3:TlsVersion": "1.2"}}, principal="*")
    over_tls.get_object(Bucket=bucket, Key="k")
    allow("GetObject", {"NumericGreaterThanEquals": {"s3:TlsVersion": "1.4"}}, principal="*")
    refused(lambda: over_tls.get_object(Bucket=bucket, Key="k"), "AccessDenied", 403)
    allow("GetObject", {"StringLike": {"aws:Referer": "https://example.com/*"}}, principal="*")
    url = f"{yard.url()}/{bucket}/k"
    assert requests.get(url, headers={"Referer": "https://example.com/page"}, timeout=10).status_code == 200
    assert requests.get(url, timeout=10).status_code == 403
    allow("GetObject", {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, principal="*")
    assert requests.get(url, timeout=10).status_code == 403


def test_a_bucket_of_another_region(yard, s3, refused):
    """Clients go on to it; whoever does not is told where it is."""
    name = f"west-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    fresh = boto3.client(
        "s3", "us-east-1", endpoint_url=yard.url(), aws_access_key_id=yard.keys[ACCOUNT]["AccessKeyId"],
        aws_secret_access_key=yard.keys[ACCOUNT]["SecretAccessKey"], config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip
    fresh.put_object(Bucket=name, Key="k", Body=b"x")  # redirected by botocore, signed anew
    assert fresh.get_object(Bucket=name, Key="k")["Body"].read() == b"x"
    assert fresh.head_bucket(Bucket=name)["BucketRegion"] == "eu-west-1"
    here = s3.generate_presigned_url("get_object", {"Bucket": name, "Key": "k"})
    v4 = yard.client(signature_version="s3v4").generate_presigned_url("list_objects_v2", {"Bucket": name})
    answer = requests.get(v4, timeout=10, allow_redirects=False)
    assert (answer.status_code, answer.headers["x-amz-bucket-region"]) == (301, "eu-west-1")
    assert "<Code>PermanentRedirect</Code>" in answer.text and f"<Endpoint>{name}.s3.eu-west-1.amazonaws.com</Endpoint>" in answer.text
    assert requests.get(here, timeout=10).status_code == 200  # signature version 2 names no region


def test_requester_pays(s3, other, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    refused(lambda: other.get_object(Bucket=bucket, Key="k"), "AccessDenied", 403)
    other.get_object(Bucket=bucket, Key="k", RequestPayer="requester")
    s3.get_object(Bucket=bucket, Key="k")
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "Requester"


@pytest.fixture
def limited(yard):
    """`limited(actions)`: a client of a new user of the account who may do just these, on everything."""
    iam = yard.client("iam")

    def make(*actions):
        name = f"u-{uuid.uuid4().hex[:12]}"
        iam.create_user(UserName=name)
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return boto3.client(
            "s3", "us-east-1", endpoint_url=yard.url(), aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"],
            config=Config(retries={"max_attempts": 0}),
        )  # fmt: skip

    return make


def test_what_comes_along_needs_its_own_permission(s3, limited, refused):
    name, soon = f"acl-{uuid.uuid4().hex[:20]}", datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter", ObjectLockEnabledForBucket=True)
    writer = limited("s3:PutObject", "s3:CreateBucket")
    key = {"Bucket": name, "Key": "k"}
    writer.put_object(**key)
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": soon}
    everybody = {"GrantRead": 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'}
    for call in (
        lambda: writer.put_object(**key, ACL="public-read"),
        lambda: writer.put_object(**key, **everybody),
        lambda: writer.create_multipart_upload(**key, **everybody),
        lambda: writer.put_object(**key, Tagging="a=b"),
        lambda: writer.put_object(**key, **lock),
        lambda: writer.create_multipart_upload(**key, **lock),
        lambda: writer.create_multipart_upload(**key, ObjectLockLegalHoldStatus="ON"),
        lambda: writer.create_bucket(Bucket=f"{name}-x", ObjectOwnership="ObjectWriter", ACL="public-read"),
        lambda: writer.create_bucket(Bucket=f"{name}-x", ObjectLockEnabledForBucket=True),
    ):
        refused(call, "AccessDenied", 403)
    writer.create_bucket(Bucket=f"{name}-x")
    limited("s3:PutObject", "s3:PutObjectAcl", "s3:PutObjectRetention").put_object(**key, **lock, **everybody)


def test_locks_in_policies(s3, limited, refused):
    """A policy can bound what locks are put."""
    name, soon = f"lock-{uuid.uuid4().hex[:20]}", datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectRetention", "Resource": f"arn:aws:s3:::{name}/*"}
    conditions = [
        {"StringEquals": {"s3:object-lock-mode": "COMPLIANCE"}},
        {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "5"}},
    ]
    policy = {"Version": "2012-10-17", "Statement": [{**deny, "Condition": condition} for condition in conditions]}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    user = limited("s3:*")
    put = lambda mode, until: user.put_object_retention(Bucket=name, Key="k", Retention={"Mode": mode, "RetainUntilDate": until})  # noqa: E731
    refused(lambda: put("COMPLIANCE", soon), "AccessDenied", 403)
    refused(lambda: put("GOVERNANCE", soon + datetime.timedelta(days=10)), "AccessDenied", 403)
    put("GOVERNANCE", soon)
    refused(lambda: user.put_object(Bucket=name, Key="n", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=soon), "AccessDenied", 403)
