"""A disk that is full in the middle of a write: an error that says so, nothing lost, nothing half done."""

import errno
import os

import pytest
from botocore.exceptions import ClientError

from modelyard.services.s3 import blobs
from modelyard.services.s3.ingest import SMALL
from modelyard.services.s3.verify import verify
from tests.support.needs import only_on_sqlite
from tests.support.platform import InProcess


@pytest.fixture
def yard(tmp_path):
    made = InProcess(tmp_path)
    yield made
    made.close()


@pytest.fixture
def s3(yard):
    made = yard.client("s3")
    made.create_bucket(Bucket="bkt")
    made.put_object(Bucket="bkt", Key="large", Body=b"L" * SMALL * 4)
    made.put_object(Bucket="bkt", Key="small", Body=b"S")
    return made


def refused(call):
    with pytest.raises(ClientError) as found:
        call()
    error, http = found.value.response["Error"], found.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert http in (500, 503, 507) and "disk" in error["Message"].lower(), error


def whole(yard, s3):
    assert s3.get_object(Bucket="bkt", Key="large")["Body"].read() == b"L" * SMALL * 4
    assert s3.get_object(Bucket="bkt", Key="small")["Body"].read() == b"S"
    assert verify(yard.platform.parts["s3"], -5.0).whole
    assert list((yard.platform.settings.data / "objects" / "tmp").iterdir()) == []


@pytest.fixture
def room(monkeypatch):
    """`room(n)`: after n more bytes of file content the disk is full."""
    left, write = [1 << 40], os.write

    def limited(fd, data):
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(fd, bytes(data)[: left[0]])
        left[0] -= done
        return done

    monkeypatch.setattr(blobs.os, "write", limited)

    def set_to(count):
        left[0] = count

    return set_to


@pytest.mark.parametrize("after", [0, 1000, 300_000])
def test_files(yard, s3, room, after):
    upload = s3.create_multipart_upload(Bucket="bkt", Key="up")["UploadId"]
    body = os.urandom(1 << 20)
    for call in (
        lambda: s3.put_object(Bucket="bkt", Key="large", Body=body),
        lambda: s3.put_object(Bucket="bkt", Key="new", Body=body),
        lambda: s3.upload_part(Bucket="bkt", Key="up", UploadId=upload, PartNumber=1, Body=body),
    ):
        room(after)
        refused(call)
    room(1 << 40)
    whole(yard, s3)
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="bkt")["Contents"]] == ["large", "small"]
    s3.put_object(Bucket="bkt", Key="new", Body=body)
    assert s3.get_object(Bucket="bkt", Key="new")["Body"].read() == body


@only_on_sqlite("a limit of SQLite's own")
def test_the_index(yard, s3):
    """SQLite's own limit of pages: it fails as it does on a full disk."""
    writer = yard.platform.parts["s3"].index.db._writer
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count={pages}")
    refused(lambda: [s3.put_object(Bucket="bkt", Key=f"n{n}", Body=os.urandom(SMALL)) for n in range(40)])
    refused(lambda: [s3.put_object(Bucket="bkt", Key=f"m{n}" + "x" * 900, Body=os.urandom(SMALL * 2)) for n in range(40)])
    writer.execute("PRAGMA max_page_count=1073741823")
    whole(yard, s3)
    s3.put_object(Bucket="bkt", Key="small", Body=b"S")
