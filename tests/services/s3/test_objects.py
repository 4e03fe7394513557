import datetime
import hashlib
import io
import os

import pytest
import requests
from botocore.exceptions import ClientError

SIZES = [0, 1, 16 << 10, (16 << 10) + 1, 300_000, (1 << 20) + 3]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("size", SIZES)
def test_put_and_get_are_the_same_bytes(yard, bucket, scheme, size):
    s3, data = yard.client(scheme=scheme), os.urandom(size)
    etag = s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(data))["ETag"]
    assert etag == f'"{hashlib.md5(data).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == data
    assert got["ContentLength"] == size and got["ETag"] == etag and got["ChecksumCRC32"]
    assert "ContentEncoding" not in got  # aws-chunked is of the way, not of the object
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == size


KEYS = [
    "a/../../b",
    "..",
    ".",
    "/",
    "//x//",
    "a b+c%2Fd",
    "ü/日本語/😀",
    "dir/",
    "a?b#c&d=e",
    "~'()*!;:@$,[]",
    "x" * 1024,
    "back\\slash",
    "a\nb\tc",
]


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_names_never_paths(yard, s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode() * 40)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode() * 40
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == key.encode() * 40
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["copy"]


def test_too_long_keys(s3, bucket, refused):
    refused(lambda: s3.put_object(Bucket=bucket, Key="ü" * 513, Body=b""), "KeyTooLongError", 400)


def test_properties_come_back(s3, bucket):
    expires = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    said = {
        "ContentType": "text/csv", "ContentEncoding": "gzip", "ContentDisposition": 'attachment; filename="a.csv"',
        "ContentLanguage": "de", "CacheControl": "max-age=1", "Metadata": {"one": "1", "two": "zwei"}, "StorageClass": "STANDARD_IA",
    }  # fmt: skip
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Expires=expires, Tagging="a=1&b=x%20y", **said)
    got = s3.head_object(Bucket=bucket, Key="k")
    assert {name: got[name] for name in said} == said
    assert got["ExpiresString"] == "Wed, 02 Jan 2030 03:04:05 GMT"
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 2
    over = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="a/b", ResponseCacheControl="no-store")
    assert (over["ContentType"], over["CacheControl"]) == ("a/b", "no-store")


def test_default_type_and_missing(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == "binary/octet-stream"
    assert refused(lambda: s3.get_object(Bucket=bucket, Key="nope"), "NoSuchKey", 404)["Key"] == "nope"
    refused(lambda: s3.head_object(Bucket=bucket, Key="nope"), "404", 404)
    refused(lambda: s3.get_object(Bucket="no-such-bucket-here", Key="k"), "NoSuchBucket", 404)


@pytest.mark.parametrize("size", [10, 100_000])
def test_ranges(s3, bucket, refused, size):
    data = os.urandom(size)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    cases = {
        "bytes=2-5": data[2:6],
        "bytes=-3": data[-3:],
        "bytes=7-": data[7:],
        f"bytes=5-{size + 9}": data[5:],
        f"bytes=-{size + 5}": data,
    }
    for text, wanted in cases.items():
        got = s3.get_object(Bucket=bucket, Key="k", Range=text)
        assert got["Body"].read() == wanted, text
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=2-5")["ContentRange"] == f"bytes 2-5/{size}"
    assert s3.head_object(Bucket=bucket, Key="k", Range="bytes=2-5")["ContentLength"] == 4
    for text in (f"bytes={size}-", "bytes=-0"):
        error = refused(lambda text=text: s3.get_object(Bucket=bucket, Key="k", Range=text), "InvalidRange", 416)
        assert error["ActualObjectSize"] == str(size)
    assert s3.get_object(Bucket=bucket, Key="k", Range="lines=1-2")["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_empty_object_has_no_range(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    refused(lambda: s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-0"), "InvalidRange", 416)


def test_conditional_reads(s3, bucket, refused):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    before = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    after = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)

    def get(**conditions):
        return lambda: s3.get_object(Bucket=bucket, Key="k", **conditions)

    for passing in ({"IfMatch": etag}, {"IfNoneMatch": '"other"'}, {"IfModifiedSince": before}, {"IfUnmodifiedSince": after},
                    {"IfMatch": etag, "IfUnmodifiedSince": before}, {"IfNoneMatch": '"other"', "IfModifiedSince": after}):  # fmt: skip
        assert get(**passing)()["Body"].read() == b"x", passing
    refused(get(IfMatch='"other"'), "PreconditionFailed", 412)
    refused(get(IfUnmodifiedSince=before), "PreconditionFailed", 412)
    refused(get(IfNoneMatch=etag), "304", 304)
    refused(get(IfModifiedSince=datetime.datetime.now(datetime.UTC)), "304", 304)
    assert get(IfModifiedSince=after + datetime.timedelta(days=1))()["Body"].read() == b"x"  # a time to come is not asked
    refused(lambda: s3.head_object(Bucket=bucket, Key="k", IfMatch='"other"'), "412", 412)


def test_conditional_writes(s3, bucket, refused):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    refused(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*"), "PreconditionFailed", 412)
    refused(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch='"other"'), "PreconditionFailed", 412)
    refused(lambda: s3.put_object(Bucket=bucket, Key="new", Body=b"2", IfMatch=etag), "NoSuchKey", 404)
    s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"3"
    refused(lambda: s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag), "PreconditionFailed", 412)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums(yard, bucket, scheme, algorithm):
    s3 = yard.client(scheme=scheme)
    for size in (5, 70_000):
        put = s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(os.urandom(size)), ChecksumAlgorithm=algorithm)
        got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        got["Body"].read()  # botocore checks
        assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"] and got["ChecksumType"] == "FULL_OBJECT"
        assert f"Checksum{algorithm}" not in s3.head_object(Bucket=bucket, Key="k")


def test_wrong_digests_store_nothing(yard, s3, bucket, refused):
    body = b"x" * 50_000
    for data in (b"x", body):
        refused(lambda data=data: s3.put_object(Bucket=bucket, Key="k", Body=data, ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg=="), "BadDigest", 400)
        refused(lambda data=data: s3.put_object(Bucket=bucket, Key="k", Body=data, ContentMD5="bm90bWQ1"), "InvalidDigest", 400)
        refused(lambda data=data: s3.put_object(Bucket=bucket, Key="k", Body=data, ChecksumCRC32="AAAAAA=="), "BadDigest", 400)
        refused(lambda data=data: s3.put_object(Bucket=bucket, Key="k", Body=data, ChecksumCRC32="nonsense"), "InvalidRequest", 400)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert list((yard.data / "objects/tmp").iterdir()) == []


def test_no_algorithm_named_keeps_s3s_default(yard, bucket):
    plain = yard.client(request_checksum_calculation="when_required")
    plain.put_object(Bucket=bucket, Key="k", Body=b"123456789")
    assert plain.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == "rosUhgp5mIg="


def test_delete_many(s3, bucket):
    for key in "abc":
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "never"}]})
    assert sorted(one["Key"] for one in answer["Deleted"]) == ["a", "never"] and "Errors" not in answer
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b"}, {"Key": "k" * 1025}], "Quiet": True})
    assert "Deleted" not in quiet and quiet["Errors"][0]["Code"] == "KeyTooLongError"
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["c"]


def test_copy(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x" * 40_000, Metadata={"m": "1"}, ContentType="text/x", Tagging="t=1")
    source = {"Bucket": bucket, "Key": "a b"}
    made = s3.copy_object(Bucket=bucket, Key="b", CopySource=source)["CopyObjectResult"]
    head = s3.head_object(Bucket=bucket, Key="b")
    assert (head["Metadata"], head["ContentType"], head["ETag"]) == ({"m": "1"}, "text/x", made["ETag"])
    assert s3.get_object_tagging(Bucket=bucket, Key="b")["TagSet"] == [{"Key": "t", "Value": "1"}]
    s3.copy_object(Bucket=bucket, Key="c", CopySource=f"/{bucket}/a b", MetadataDirective="REPLACE", Metadata={"n": "2"}, ContentType="u/v")
    head = s3.head_object(Bucket=bucket, Key="c")
    assert (head["Metadata"], head["ContentType"]) == ({"n": "2"}, "u/v")
    s3.delete_object(Bucket=bucket, Key="a b")
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"x" * 40_000
    refused(lambda: s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "b"}), "InvalidRequest", 400)
    refused(lambda: s3.copy_object(Bucket=bucket, Key="d", CopySource=source), "NoSuchKey", 404)
    refused(
        lambda: s3.copy_object(Bucket=bucket, Key="d", CopySource={"Bucket": bucket, "Key": "b"}, CopySourceIfMatch='"no"'),
        "PreconditionFailed",
        412,
    )


def test_object_tags(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    many = [{"Key": f"k{n}", "Value": "v"} for n in range(11)]
    refused(lambda: s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": many}), "BadRequest", 400)
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    refused(lambda: s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": twice}), "InvalidTag", 400)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned(yard, bucket, version):
    s3 = yard.client(signature_version=version)
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "p q/ü"})
    assert requests.put(put, data=b"presigned", timeout=5).status_code == 200
    get = s3.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "p q/ü", "ResponseContentType": "text/x", "ResponseContentDisposition": "attachment"}
    )
    answer = requests.get(get, timeout=5)
    assert (answer.content, answer.headers["content-type"], answer.headers["content-disposition"]) == (b"presigned", "text/x", "attachment")
    assert requests.get(get, headers={"Range": "bytes=0-2"}, timeout=5).content == b"pre"


def test_a_lock_needs_a_bucket_with_locks(s3, bucket, refused):
    refused(
        lambda: s3.put_object(
            Bucket=bucket, Key="k", Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=datetime.datetime(2030, 1, 1)
        ),
        "InvalidRequest",
        400,
    )


def test_resource_listing(yard, bucket):
    home = yard.resource().Bucket(bucket)
    for n in range(7):
        home.put_object(Key=f"d/{n}", Body=b"x")
    assert [one.key for one in home.objects.filter(Prefix="d/")] == [f"d/{n}" for n in range(7)]
    assert home.name in [one.name for one in yard.resource().buckets.all()]
    home.objects.all().delete()
    assert list(home.objects.all()) == []
    home.delete()
    with pytest.raises(ClientError):
        home.meta.client.head_bucket(Bucket=bucket)


def _raw(s3, method, path, body, **headers):
    """A signed request that boto3 would not make."""
    import requests
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest

    asked = AWSRequest(method, s3.meta.endpoint_url + path, data=body, headers=headers)
    S3SigV4Auth(s3._request_signer._credentials, "s3", "us-east-1").add_auth(asked)
    sent = asked.prepare()
    return requests.request(method, sent.url, data=body, headers=dict(sent.headers), timeout=30)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "InvalidRequest"),
        ({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        ({"Content-MD5": "abc"}, "InvalidDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}, "BadDigest"),
        ({"x-amz-checksum-crc32c": "bad"}, "InvalidRequest"),
    ],
)
def test_a_bulk_delete_with_a_wrong_digest_deletes_nothing(s3, headers, code):
    s3.create_bucket(Bucket="digests")
    s3.put_object(Bucket="digests", Key="o", Body=b"1")
    answer = _raw(s3, "POST", "/digests?delete", b"<Delete><Object><Key>o</Key></Object></Delete>", **headers)
    assert answer.status_code == 400 and f"<Code>{code}</Code>" in answer.text
    assert s3.head_object(Bucket="digests", Key="o")


@pytest.mark.parametrize("what", ["logging", "notification", "publicAccessBlock", "versioning", "ownershipControls"])
def test_a_document_with_another_root_is_malformed(s3, what):
    s3.create_bucket(Bucket="roots")
    answer = _raw(s3, "PUT", f"/roots?{what}", b"<Other/>")
    assert answer.status_code == 400 and "<Code>MalformedXML</Code>" in answer.text


def test_a_key_that_is_no_utf8_is_told_in_xml(s3):
    s3.create_bucket(Bucket="bytes")
    answer = _raw(s3, "PUT", "/bytes/%ff", b"x")
    assert answer.status_code == 400 and "<Code>InvalidURI</Code>" in answer.text
