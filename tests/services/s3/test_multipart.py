import hashlib
import os

import pytest
from boto3.s3.transfer import TransferConfig

MIB = 1 << 20
A, B = os.urandom(5 * MIB), os.urandom(MIB)


class Upload:
    def __init__(self, s3, bucket, **more):
        self.s3, self.names = s3, {"Bucket": bucket, "Key": "m"}
        self.names["UploadId"] = s3.create_multipart_upload(Bucket=bucket, Key="m", **more)["UploadId"]
        self.parts = []

    def part(self, number, data, **more):
        answer = self.s3.upload_part(PartNumber=number, Body=data, **self.names, **more)
        self.parts.append({"PartNumber": number, **{k: v for k, v in answer.items() if k == "ETag" or k.startswith("Checksum")}})
        return answer

    def complete(self, parts=None, **more):
        return self.s3.complete_multipart_upload(
            MultipartUpload={"Parts": parts if parts is not None else self.parts}, **self.names, **more
        )


def files(yard):
    return {path.name for path in (yard.data / "objects").rglob("*") if path.is_file()}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_upload_file_and_download_file(yard, bucket, tmp_path, scheme):
    s3, source, target = yard.client(scheme=scheme), tmp_path / "in", tmp_path / "out"
    source.write_bytes(os.urandom(21 * MIB + 7))
    parts = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    s3.upload_file(str(source), bucket, "big", ExtraArgs={"Metadata": {"a": "1"}, "ContentType": "x/y"}, Config=parts)
    s3.download_file(bucket, "big", str(target), Config=parts)
    assert source.read_bytes() == target.read_bytes()
    head = s3.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")
    assert head["ETag"].endswith('-3"') and head["Metadata"] == {"a": "1"} and head["ContentType"] == "x/y"
    assert head["ChecksumCRC32"].endswith("-3") and head["ChecksumType"] == "COMPOSITE"
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copy", Config=parts)
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == source.read_bytes()


def test_etag_parts_and_leftovers(yard, s3, bucket):
    before = files(yard)
    up = Upload(s3, bucket)
    up.part(2, b"second, to be replaced" * 1000)
    up.part(2, B)
    up.part(1, A)
    up.part(9, b"not named in the end" * 1000)
    listed = s3.list_parts(**up.names)
    assert [(one["PartNumber"], one["Size"]) for one in listed["Parts"]] == [(1, 5 * MIB), (2, MIB), (9, 20_000)]
    assert [one["UploadId"] for one in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [up.names["UploadId"]]
    named = [up.parts[2], up.parts[1]]
    made = up.complete(named)
    digests = hashlib.md5(A).digest() + hashlib.md5(B).digest()
    assert made["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-2"'
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == A + B
    second = s3.get_object(Bucket=bucket, Key="m", PartNumber=2)
    assert second["Body"].read() == B and second["PartsCount"] == 2 and second["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert len(files(yard) - before) == 1


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("CRC32", "COMPOSITE"), ("SHA256", "COMPOSITE"), ("CRC32C", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT"), ("CRC32", "FULL_OBJECT")],
)
def test_checksums_of_the_whole(s3, bucket, algorithm, kind):
    up = Upload(s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType=kind)
    up.part(1, A, ChecksumAlgorithm=algorithm)
    up.part(2, B, ChecksumAlgorithm=algorithm)
    made = up.complete(ChecksumType=kind)
    assert made["ChecksumType"] == kind
    whole = s3.put_object(Bucket=bucket, Key="whole", Body=A + B, ChecksumAlgorithm=algorithm)[f"Checksum{algorithm}"]
    assert (made[f"Checksum{algorithm}"] == whole) == (kind == "FULL_OBJECT")
    assert made[f"Checksum{algorithm}"].endswith("-2") == (kind == "COMPOSITE")
    s3.get_object(Bucket=bucket, Key="m", ChecksumMode="ENABLED")["Body"].read()
    about = s3.get_object_attributes(
        Bucket=bucket, Key="m", ObjectAttributes=["ETag", "Checksum", "ObjectParts", "ObjectSize", "StorageClass"]
    )
    assert about["ObjectSize"] == 6 * MIB and about["ObjectParts"]["TotalPartsCount"] == 2 and about["StorageClass"] == "STANDARD"
    assert (
        about["Checksum"][f"Checksum{algorithm}"] == made[f"Checksum{algorithm}"].partition("-")[0]
    )  # without the number of parts, as AWS


def test_refusals(s3, bucket, refused):
    up = Upload(s3, bucket)
    up.part(1, b"small")
    up.part(2, B)
    refused(up.complete, "EntityTooSmall", 400)
    refused(lambda: up.complete(up.parts[::-1]), "InvalidPartOrder", 400)
    refused(lambda: up.complete([{"PartNumber": 1, "ETag": '"0123"'}]), "InvalidPart", 400)
    refused(lambda: up.complete([{"PartNumber": 7, "ETag": up.parts[0]["ETag"]}]), "InvalidPart", 400)
    refused(lambda: up.complete([]), "InvalidRequest", 400)
    refused(lambda: up.part(0, b"x"), "InvalidArgument", 400)
    refused(lambda: up.part(10_001, b"x"), "InvalidArgument", 400)
    refused(lambda: s3.upload_part(Bucket=bucket, Key="m", UploadId="nope", PartNumber=1, Body=b""), "NoSuchUpload", 404)
    refused(lambda: s3.upload_part(Bucket=bucket, Key="other", UploadId=up.names["UploadId"], PartNumber=1, Body=b""), "NoSuchUpload", 404)
    up.complete(up.parts[:1])
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == b"small"
    assert up.complete()["ETag"] == s3.head_object(Bucket=bucket, Key="m")["ETag"]  # asked again: the same answer
    s3.put_object(Bucket=bucket, Key="m", Body=b"newer")
    refused(up.complete, "NoSuchUpload", 404)


def test_abort_leaves_nothing(yard, s3, bucket, refused):
    before = files(yard)
    up = Upload(s3, bucket)
    up.part(1, A)
    s3.abort_multipart_upload(**up.names)
    refused(lambda: s3.list_parts(**up.names), "NoSuchUpload", 404)
    assert files(yard) == before


def test_part_copy(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="source", Body=A + B)
    up, source = Upload(s3, bucket), {"Bucket": bucket, "Key": "source"}
    first = s3.upload_part_copy(PartNumber=1, CopySource=source, CopySourceRange=f"bytes=0-{5 * MIB - 1}", **up.names)["CopyPartResult"]
    last = s3.upload_part_copy(PartNumber=2, CopySource=source, CopySourceRange=f"bytes={5 * MIB}-{6 * MIB - 1}", **up.names)[
        "CopyPartResult"
    ]
    refused(
        lambda: s3.upload_part_copy(PartNumber=3, CopySource=source, CopySourceRange=f"bytes=0-{6 * MIB}", **up.names),
        "InvalidArgument",
        400,
    )
    up.complete([{"PartNumber": 1, "ETag": first["ETag"]}, {"PartNumber": 2, "ETag": last["ETag"]}])
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == A + B


def test_uploads_and_parts_by_page(s3, bucket):
    for key in ("a/1", "a/2", "b", "b", "c/x"):
        s3.create_multipart_upload(Bucket=bucket, Key=key)
    for size in (1, 2, 1000):
        pages = list(s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": size}))
        assert [one["Key"] for page in pages for one in page.get("Uploads", [])] == ["a/1", "a/2", "b", "b", "c/x"]
        pages = list(s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size}))
        assert [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])] == ["a/", "c/"]
    up = Upload(s3, bucket)
    for number in (1, 2, 3):
        up.part(number, b"x")
    pages = list(s3.get_paginator("list_parts").paginate(**up.names, PaginationConfig={"PageSize": 2}))
    assert [[one["PartNumber"] for one in page["Parts"]] for page in pages] == [[1, 2], [3]]
