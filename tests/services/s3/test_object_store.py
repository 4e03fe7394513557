import os

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.services.s3.objects import WRITE_ACTION, arn

ACCOUNT = "123456789012"


@pytest.fixture
def objects(yard):
    return yard.platform.objects


@pytest.mark.parametrize("size", [0, 100, 1 << 20])
def test_files_in_and_out(objects, s3, bucket, tmp_path, size):
    source, target, seen = tmp_path / "in", tmp_path / "out", []
    source.write_bytes(os.urandom(size))
    etag = objects.put_file(ACCOUNT, bucket, "m/k", source, content_type="x/y", metadata={"a": "1"})
    head = s3.head_object(Bucket=bucket, Key="m/k")
    assert (head["ETag"], head["ContentType"], head["Metadata"]) == (f'"{etag}"', "x/y", {"a": "1"})
    assert objects.copy_to(ACCOUNT, bucket, "m/k", target, seen.append) == size == sum(seen)
    assert target.read_bytes() == source.read_bytes()
    target.write_bytes(b"changed in place")  # a copy of its own: the object does not change
    assert objects.read(ACCOUNT, bucket, "m/k") == source.read_bytes()
    with objects.open(ACCOUNT, bucket, "m/k") as file:
        objects.delete(ACCOUNT, bucket, "m/k")
        assert file.read() == source.read_bytes()


def test_listing_goes_over_pages(objects, bucket):
    for n in range(3):
        objects.put_bytes(ACCOUNT, bucket, f"p/{n}", b"x" * n)
    objects.put_bytes(ACCOUNT, bucket, "q", b"")
    assert [(key, size) for key, size, _ in objects.list(ACCOUNT, bucket, "p/")] == [("p/0", 0), ("p/1", 1), ("p/2", 2)]
    rows = [(bucket, f"many/{n:05}", "null", 1, 0, 1, "e", 0.0, "", "{}") for n in range(2500)]
    with objects._depot.index.db.write() as tx:
        tx.executemany(
            "INSERT INTO s3_objects (bucket, key, version, latest, marker, size, etag, modified, blob, meta) VALUES (?,?,?,?,?,?,?,?,?,?)",
            rows,
        )
    assert [key for key, _, _ in objects.list(ACCOUNT, bucket, "many/")] == [row[1] for row in rows]


def test_what_is_missing_is_said_as_to_a_client(objects, bucket, tmp_path):
    for call, code in [
        (lambda: objects.open(ACCOUNT, bucket, "no"), "NoSuchKey"),
        (lambda: objects.head(ACCOUNT, bucket, "no"), "NoSuchKey"),
        (lambda: objects.copy_to(ACCOUNT, bucket, "no", tmp_path / "x"), "NoSuchKey"),
        (lambda: objects.put_bytes(ACCOUNT, "no-such-bucket-x", "k", b""), "NoSuchBucket"),
        (lambda: list(objects.list(ACCOUNT, "no-such-bucket-x")), "NoSuchBucket"),
    ]:
        with pytest.raises(ApiError) as found:
            call()
        assert found.value.code == code
    assert not (tmp_path / "x").exists()


def test_names_for_the_callers_permission_check():
    assert (WRITE_ACTION, arn("b", "k/x"), arn("b")) == ("s3:PutObject", "arn:aws:s3:::b/k/x", "arn:aws:s3:::b")
