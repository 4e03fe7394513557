"""What S3 answers in corners that clients run into: codes, fields and headers as AWS's."""

import base64
import hashlib
import re

import pytest
import requests
from botocore.exceptions import ClientError

from modelyard.services.s3 import mailtext
from modelyard.wire.autherrors import s3_mismatch


def error(call):
    with pytest.raises(ClientError) as found:
        call()
    return found.value.response["Error"]


def test_version_ids(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    named = {"Bucket": bucket, "Key": "k", "VersionId": "HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD"}
    for call in (s3.get_object, s3.head_object, s3.delete_object):
        with pytest.raises(ClientError) as found:
            call(**named)
        assert found.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400  # in a bucket without versions, and what none ever had
    many = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": named["VersionId"]}]})
    assert many["Errors"][0]["Code"] == "NoSuchVersion"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    made = s3.put_object(Bucket=bucket, Key="k", Body=b"2")["VersionId"]
    assert error(lambda: s3.delete_object(**named))["ArgumentName"] == "versionId"
    for _ in range(2):  # a delete that is sent again is done already
        assert s3.delete_object(Bucket=bucket, Key="k", VersionId=made)["VersionId"] == made
    assert error(lambda: s3.get_object(Bucket=bucket, Key="k", VersionId=made))["Code"] == "NoSuchVersion"
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"1"


def test_upload_on_condition_conflicts_with_what_came_between(s3, bucket):
    def complete(upload, **condition):
        etag = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"p")["ETag"]
        return lambda: s3.complete_multipart_upload(
            Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": [{"ETag": etag, "PartNumber": 1}]}, **condition
        )

    def begin():
        return s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]

    upload = begin()
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"between")["ETag"]
    assert error(complete(upload, IfNoneMatch="*"))["Code"] == "PreconditionFailed"
    assert error(complete(upload, IfMatch=etag))["Code"] == "ConditionalRequestConflict"
    s3.delete_object(Bucket=bucket, Key="k")
    assert error(complete(upload, IfNoneMatch="*"))["Code"] == "ConditionalRequestConflict"
    assert error(complete(upload, IfMatch=etag))["Code"] == "NoSuchKey"
    complete(begin(), IfNoneMatch="*")()
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 1
    assert error(lambda: s3.put_object(Bucket=bucket, Key="k", IfNoneMatch="x"))["additionalMessage"].startswith("We don't accept")
    assert error(lambda: s3.put_object(Bucket=bucket, Key="k", IfMatch="x", IfNoneMatch="*"))["Header"] == "If-Match,If-None-Match"


@pytest.mark.parametrize(("algorithm", "kind"), [("SHA256", "COMPOSITE"), ("CRC32", "FULL_OBJECT")])
def test_the_checksum_of_a_completed_upload_is_the_objects(s3, bucket, algorithm, kind):
    def upload(key, **stated):
        made = {"Bucket": bucket, "Key": key}
        made["UploadId"] = s3.create_multipart_upload(**made, ChecksumAlgorithm=algorithm, ChecksumType=kind)["UploadId"]
        part = s3.upload_part(**made, PartNumber=1, Body=b"bytes", ChecksumAlgorithm=algorithm)
        name = f"Checksum{algorithm}"
        return s3.complete_multipart_upload(
            **made, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"], name: part[name]}]}, **stated
        )[name]

    whole = upload("a")
    assert upload("b", **{f"Checksum{algorithm}": whole}) == whole


def test_deletes_on_condition_of_what_is_deleted(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"")["ETag"]
    assert s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)["DeleteMarker"]
    assert error(lambda: s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag))["Code"] == "PreconditionFailed"
    assert error(lambda: s3.delete_object(Bucket=bucket, Key="k", IfMatchSize=0))["Code"] == "PreconditionFailed"
    assert error(lambda: s3.get_object_tagging(Bucket=bucket, Key="k"))["ResourceType"] == "DeleteMarker"


def test_metadata_beyond_ascii(yard, s3, bucket):
    assert mailtext.encoded("ÄM S3") == "=?UTF-8?Q?=C3=84M_S3?=" and mailtext.encoded("\0\1\2") == "=?UTF-8?B?AAEC?="
    for text in ("ÄM S3", "a_b=?", "\0", "👑", "plain ?=", "é".encode().decode("latin-1")):
        assert mailtext.decoded(mailtext.encoded(text)) in (text, "é")
    assert mailtext.decoded("=?UTF-8?B?YWJj?=") == "abc" and mailtext.decoded("=?UTF-8?B?=GGG?=") == "=?UTF-8?B?=GGG?="
    form = s3.generate_presigned_post(bucket, "f", Fields={"x-amz-meta-a": "Ä\0\n", "Cache-Control": "a\nb—"},
                                      Conditions=[["starts-with", "$x-amz-meta-a", ""], ["starts-with", "$Cache-Control", ""]])  # fmt: skip
    assert requests.post(form["url"], data=form["fields"], files={"file": b"x"}, timeout=10).status_code == 204
    head = s3.head_object(Bucket=bucket, Key="f")
    assert mailtext.decoded(head["Metadata"]["a"]) == "Ä\0\n" and head["CacheControl"] == "a b "


def test_a_mismatch_tells_what_was_signed_and_no_secrets(yard, s3, bucket):
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    text = requests.get(url.replace("/k?", "/other?"), timeout=10).text
    assert "<StringToSign>" in text and "<SignatureProvided>" in text and "<StringToSignBytes>" in text
    told = s3_mismatch("AK", "s", "x", "PUT\n/\n\nx-amz-security-token:T0KEN\nx-amz-server-side-encryption-customer-key:K3Y\n\nhost").fields
    assert "T0KEN" not in str(told) and "K3Y" not in str(told)
    assert bytes.fromhex(told["CanonicalRequestBytes"]).decode() == told["CanonicalRequest"]


def test_what_a_get_does_not_look_at(yard, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"body", Expires="Wed, 21 Oct 2015 07:28:00 GMT")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert requests.get(url, data=b"a body that means nothing", timeout=10).content == b"body"
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k", "ResponseExpires": "Thu, 22 Oct 2015 07:28:00 GMT"})
    assert requests.get(url, timeout=10).headers["expires"] == "Thu, 22 Oct 2015 07:28:00 GMT"
    assert re.search(
        r"<LastModified>[^<]+\.000Z<", requests.get(s3.generate_presigned_url("list_objects", Params={"Bucket": bucket}), timeout=10).text
    )


def test_words_of_arguments(s3, bucket):
    assert error(lambda: s3.get_bucket_policy(Bucket=bucket, ExpectedBucketOwner="abcd"))["Code"] == "InvalidBucketOwnerAWSAccountID"
    assert (
        error(lambda: s3.create_bucket(Bucket="some-name-here", CreateBucketConfiguration={"LocationConstraint": "mars-1"}))["Code"]
        == "InvalidLocationConstraint"
    )
    assert error(lambda: s3.put_object(Bucket=bucket, Key="k", StorageClass="OUTPOSTS"))["Code"] == "InvalidStorageClass"
    assert error(lambda: s3.put_object(Bucket=bucket, Key="k", Tagging="a=1&a=2"))["ArgumentName"] == "x-amz-tagging"
    assert error(lambda: s3.list_objects_v2(Bucket=bucket, EncodingType="gzip"))["ArgumentName"] == "encoding-type"
    assert (
        error(lambda: s3.delete_object(Bucket=bucket, Key="k", BypassGovernanceRetention=True))["ArgumentName"]
        == "x-amz-bypass-governance-retention"
    )
    assert error(lambda: s3.list_buckets(BucketRegion="eu-east-1"))["ArgumentName"] == "bucket-region"
    wrong = hashlib.md5(b"other", usedforsecurity=False)
    told = error(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=base64.b64encode(wrong.digest()).decode()))
    assert told["ExpectedDigest"] == wrong.hexdigest()
    assert "Resource" not in error(lambda: s3.get_object(Bucket=bucket, Key="never"))
