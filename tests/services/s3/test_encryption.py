"""Encryption at rest: with S3's key, with KMS, with customers' keys; and that nobody's bytes lie open where it was asked for."""

import base64
import hashlib
import json
import uuid

import pytest

from tests.services.s3.yard import ACCOUNT, OTHER

KEY, WRONG = b"k" * 32, b"w" * 32
MIB = 1 << 20
CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
BIG, SMALL = b"the plain text " * (MIB // 5), b"the plain text, short"


def on_disk(yard):
    """All bytes of the blob store and the index, log included."""
    files = [*(yard.data / "objects").rglob("*"), *yard.data.glob("s3.db*")]
    return b"".join(file.read_bytes() for file in files if file.is_file())


def how(kms_key, kind):
    return {"AES256": {"ServerSideEncryption": "AES256"}, "kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}, "customer": CUSTOMER}[kind]  # fmt: skip


@pytest.fixture(scope="module")
def kms_key(yard):
    return yard.client("kms").create_key()["KeyMetadata"]["Arn"]


@pytest.mark.parametrize("kind", ["AES256", "kms", "customer"])
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3 * MIB])
def test_bytes_come_back_and_lie_encrypted(yard, s3, bucket, kms_key, kind, size):
    mark = f"secret {uuid.uuid4()} ".encode()
    body = (mark * (size // len(mark) + 1))[:size]
    made = s3.put_object(Bucket=bucket, Key="k", Body=body, **how(kms_key, kind))
    keys = CUSTOMER if kind == "customer" else {}
    got = s3.get_object(Bucket=bucket, Key="k", **keys)
    assert (got["Body"].read(), got["ContentLength"]) == (body, size)
    if kind == "customer":
        assert made["SSECustomerKeyMD5"] == got["SSECustomerKeyMD5"] == base64.b64encode(hashlib.md5(KEY).digest()).decode()
    else:
        assert made["ServerSideEncryption"] == got["ServerSideEncryption"] == ("AES256" if kind == "AES256" else "aws:kms")
        assert made.get("SSEKMSKeyId") == (kms_key if kind == "kms" else None)
    assert (made["ETag"].strip('"') == hashlib.md5(body).hexdigest()) == (kind == "AES256")
    if size > 100:
        assert mark not in on_disk(yard)
        for first, last in ((0, 10), (size - 9, size - 1), (size // 2, size // 2 + 70_000)):
            part = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={first}-{last}", **keys)["Body"].read()
            assert part == body[first : last + 1]


@pytest.mark.parametrize("kind", ["AES256", "kms", "customer"])
def test_multipart(yard, s3, bucket, kms_key, kind):
    keys, mark = (CUSTOMER if kind == "customer" else {}), f"secret {uuid.uuid4()} ".encode()
    parts = [(mark * (5 * MIB // len(mark) + 1))[: 5 * MIB], mark * 1000]
    names = {"Bucket": bucket, "Key": "m"}
    names["UploadId"] = s3.create_multipart_upload(Bucket=bucket, Key="m", **how(kms_key, kind))["UploadId"]
    done = [
        {
            "PartNumber": n,
            **{k: v for k, v in s3.upload_part(PartNumber=n, Body=body, **names, **keys).items() if k in ("ETag", "ChecksumCRC32")},
        }
        for n, body in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(MultipartUpload={"Parts": done}, **names, **keys)
    whole = b"".join(parts)
    assert s3.get_object(Bucket=bucket, Key="m", **keys)["Body"].read() == whole
    over = s3.get_object(Bucket=bucket, Key="m", Range=f"bytes={5 * MIB - 3}-{5 * MIB + 3}", **keys)["Body"].read()
    assert over == whole[5 * MIB - 3 : 5 * MIB + 4]
    assert s3.get_object(Bucket=bucket, Key="m", PartNumber=2, **keys)["Body"].read() == parts[1]
    assert mark not in on_disk(yard)


def test_customer_keys_are_asked_for_and_checked(yard, s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=SMALL, **CUSTOMER)
    s3.put_object(Bucket=bucket, Key="plain", Body=SMALL)
    wrong = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": WRONG}
    refused(lambda: s3.get_object(Bucket=bucket, Key="k"), "InvalidRequest", 400)
    refused(lambda: s3.head_object(Bucket=bucket, Key="k"), "400", 400)
    refused(lambda: s3.get_object(Bucket=bucket, Key="k", **wrong), "AccessDenied", 403)
    refused(lambda: s3.get_object(Bucket=bucket, Key="plain", **CUSTOMER), "InvalidRequest", 400)
    refused(lambda: s3.put_object(Bucket=bucket, Key="x", SSECustomerAlgorithm="AES256"), "InvalidArgument", 400)
    refused(lambda: s3.put_object(Bucket=bucket, Key="x", SSECustomerAlgorithm="AES256", SSECustomerKey=b"short"), "InvalidArgument", 400)
    refused(
        lambda: s3.put_object(
            Bucket=bucket, Key="x", SSECustomerAlgorithm="AES256", SSECustomerKey=base64.b64encode(KEY).decode(), SSECustomerKeyMD5="AAAA"
        ),
        "InvalidArgument",
        400,
    )
    refused(lambda: s3.put_object(Bucket=bucket, Key="x", **CUSTOMER, ServerSideEncryption="AES256"), "InvalidArgument", 400)
    refused(lambda: s3.put_object(Bucket=bucket, Key="x", SSEKMSKeyId="k"), "InvalidArgument", 400)
    assert KEY not in on_disk(yard) and base64.b64encode(KEY) not in on_disk(yard)


def test_copies_from_one_encryption_to_another(s3, bucket, kms_key, refused):
    source = {"Bucket": bucket, "Key": "k"}
    with_key = {f"CopySource{name}": value for name, value in CUSTOMER.items()}
    s3.put_object(Bucket=bucket, Key="k", Body=BIG, **CUSTOMER)
    refused(lambda: s3.copy_object(Bucket=bucket, Key="c", CopySource=source), "InvalidRequest", 400)
    assert "ServerSideEncryption" not in s3.copy_object(Bucket=bucket, Key="c", CopySource=source, **with_key)
    assert s3.get_object(Bucket=bucket, Key="c")["Body"].read() == BIG
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, **with_key, ServerSideEncryption="aws:kms", SSEKMSKeyId=kms_key)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (got["SSEKMSKeyId"], got["Body"].read()) == (kms_key, BIG)


def test_reads_do_not_ask_for_encryption(yard, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=SMALL, ServerSideEncryption="AES256")
    asking = yard.client(user_agent_extra="asks")
    asking.meta.events.register(
        "before-sign.s3.GetObject", lambda request, **_: request.headers.add_header("x-amz-server-side-encryption", "AES256")
    )
    with pytest.raises(asking.exceptions.ClientError, match="not supported for this operation"):
        asking.get_object(Bucket=bucket, Key="k")


def test_default_encryption_of_a_bucket(s3, bucket, kms_key):
    s3.put_object(Bucket=bucket, Key="before", Body=SMALL)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms_key}, "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    made = s3.put_object(Bucket=bucket, Key="k", Body=SMALL)
    assert (made["SSEKMSKeyId"], made["BucketKeyEnabled"]) == (kms_key, True)
    assert s3.put_object(Bucket=bucket, Key="own", Body=SMALL, ServerSideEncryption="AES256")["ServerSideEncryption"] == "AES256"
    assert [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in ("before", "k", "own")] == [SMALL] * 3
    assert "ServerSideEncryption" not in s3.head_object(Bucket=bucket, Key="before")


def test_kms_decides(yard, s3, bucket, kms_key, refused):
    kms = yard.client("kms")
    refused(
        lambda: s3.put_object(Bucket=bucket, Key="k", ServerSideEncryption="aws:kms", SSEKMSKeyId=str(uuid.uuid4())),
        "KMS.NotFoundException",
        400,
    )
    key = kms.create_key()["KeyMetadata"]["Arn"]
    s3.put_object(Bucket=bucket, Key="k", Body=SMALL, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    s3.put_object(Bucket=bucket, Key="managed", Body=SMALL, ServerSideEncryption="aws:kms")
    assert s3.get_object(Bucket=bucket, Key="managed")["Body"].read() == SMALL
    kms.disable_key(KeyId=key)
    refused(lambda: s3.get_object(Bucket=bucket, Key="k"), "KMS.DisabledException", 400)
    assert s3.head_object(Bucket=bucket, Key="k")["SSEKMSKeyId"] == key
    kms.enable_key(KeyId=key)
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    refused(lambda: yard.client(account=OTHER).get_object(Bucket=bucket, Key="k"), "AccessDenied", 403)


def test_the_platform_reads_what_it_may(yard, s3, bucket, kms_key, tmp_path, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=BIG, ServerSideEncryption="aws:kms", SSEKMSKeyId=kms_key)
    objects = yard.platform.objects
    assert objects.read(ACCOUNT, bucket, "k") == BIG
    objects.copy_to(ACCOUNT, bucket, "k", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == BIG
    objects.put_bytes(ACCOUNT, bucket, "made", SMALL, kms=kms_key)
    assert s3.head_object(Bucket=bucket, Key="made")["SSEKMSKeyId"] == kms_key
    assert s3.get_object(Bucket=bucket, Key="made")["Body"].read() == SMALL


def test_changed_bytes_are_not_served(yard, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=BIG, ServerSideEncryption="AES256")
    blob = yard.depot.find(bucket, "k").blob
    path = yard.depot.blobs.path(blob)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match=r"(?i)incomplete|connection|read|reached max|internal"):
        s3.get_object(Bucket=bucket, Key="k")["Body"].read()
