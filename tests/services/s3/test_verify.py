"""doctor --verify: every kind of damage is found and named, and nothing else."""

import argparse
import json
import os

import pytest
from botocore.exceptions import ClientError

from modelyard.cli import doctor, exits
from modelyard.services.s3.ingest import SMALL
from modelyard.services.s3.verify import verify
from tests.support.needs import only_on_sqlite
from tests.support.platform import InProcess

PART = 5 << 20


@pytest.fixture
def yard(tmp_path):
    made = InProcess(tmp_path)
    yield made
    made.close()


@pytest.fixture
def filled(yard):
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="bkt")
    for key, size in (("empty", 0), ("small", 100), ("large", SMALL * 3), ("other", SMALL * 2), ("third", SMALL * 2)):
        s3.put_object(Bucket="bkt", Key=key, Body=os.urandom(size))
    s3.put_object(Bucket="bkt", Key="sealed", Body=os.urandom(SMALL * 5), ServerSideEncryption="AES256")
    s3.put_object(Bucket="bkt", Key="kms", Body=os.urandom(SMALL * 5), ServerSideEncryption="aws:kms")
    upload = s3.create_multipart_upload(Bucket="bkt", Key="joined", ChecksumAlgorithm="SHA256")["UploadId"]
    parts = []
    for number, size in ((1, PART), (2, 1000)):
        told = s3.upload_part(
            Bucket="bkt", Key="joined", UploadId=upload, PartNumber=number, Body=os.urandom(size), ChecksumAlgorithm="SHA256"
        )
        parts.append({"PartNumber": number, "ETag": told["ETag"], "ChecksumSHA256": told["ChecksumSHA256"]})
    s3.complete_multipart_upload(Bucket="bkt", Key="joined", UploadId=upload, MultipartUpload={"Parts": parts})
    under_way = s3.create_multipart_upload(Bucket="bkt", Key="way")["UploadId"]
    s3.upload_part(Bucket="bkt", Key="way", UploadId=under_way, PartNumber=1, Body=os.urandom(SMALL * 2))
    return yard.platform.parts["s3"]


def path_of(depot, key, table="s3_objects"):
    blob = depot.index.db.read("SELECT blob FROM s3_objects WHERE key = ?", (key,)) or depot.index.db.read("SELECT blob FROM s3_parts")
    return depot.blobs.path(blob[0][0])


def spoil(path, at=0):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def test_what_is_whole_is_called_so(filled):
    found = verify(filled, 0.0)
    assert found.whole and (found.objects, found.parts, found.unread) == (8, 1, 0)


def test_each_damage_is_named(filled):
    path_of(filled, "large").unlink()
    os.truncate(path_of(filled, "other"), SMALL)
    spoil(path_of(filled, "third"))
    spoil(path_of(filled, "sealed"), at=SMALL * 4)
    spoil(path_of(filled, "kms"))
    spoil(path_of(filled, "joined"), at=PART + 10)
    spoil(path_of(filled, "way"))
    filled.index.db.grouped(lambda tx: tx.execute("UPDATE s3_small SET bytes = ?", (b"y" * 100,)))
    orphan = filled.blobs.writer()
    orphan.write(b"x")
    name = orphan.commit()
    found = verify(filled, 0.0)
    assert found.missing == ["s3://bkt/large"] and found.short == ["s3://bkt/other"] and found.orphans == [name]
    wrong = {one.partition("?")[0] for one in found.wrong}
    assert wrong == {f"s3://bkt/{key}" for key in ("small", "third", "sealed", "kms", "joined", "way")}
    assert verify(filled, 3600.0).orphans == []


@only_on_sqlite("the command takes the store from the settings that `modelyard up` leaves in the data folder")
def test_the_command_and_its_exit_code(filled, yard, capsys):
    asked = argparse.Namespace(data=yard.platform.settings.data, json=True, verify=True)
    assert doctor.run(asked) == exits.OK
    assert json.loads(capsys.readouterr().out)["whole"] is True
    spoil(path_of(filled, "third"))
    assert doctor.run(asked) == exits.FAILED
    assert json.loads(capsys.readouterr().out)["wrong"] == ["s3://bkt/third"]
    asked.json = False
    assert doctor.run(asked) == exits.FAILED
    told = capsys.readouterr().out
    assert "damaged  s3://bkt/third" in told and "put the object again" in told


def test_reading_what_is_not_whole_is_an_error_and_a_copy_is_not_made(filled, yard):
    s3 = yard.client("s3")
    path_of(filled, "large").unlink()
    os.truncate(path_of(filled, "other"), SMALL)
    for key in ("large", "other"):
        for read in (
            lambda key=key: s3.get_object(Bucket="bkt", Key=key),
            lambda key=key: s3.copy_object(Bucket="bkt", Key="copy", CopySource={"Bucket": "bkt", "Key": key}),
        ):
            with pytest.raises(ClientError, match="doctor --verify") as problem:
                read()
            assert problem.value.response["Error"]["Code"] == "InternalError"
    s3.put_object(Bucket="bkt", Key="other", Body=b"again")
    assert s3.get_object(Bucket="bkt", Key="other")["Body"].read() == b"again"
    assert "copy" not in {one["Key"] for one in s3.list_objects_v2(Bucket="bkt")["Contents"]}


def test_an_index_that_contradicts_itself_is_named(filled):
    def work(tx):
        tx.execute("DELETE FROM s3_objects WHERE key IN ('small', 'large')")
        tx.execute("UPDATE s3_objects SET latest = 0 WHERE key = 'third'")

    large = path_of(filled, "large").name
    filled.index.db.grouped(work)
    found = verify(filled, 0.0)
    assert found.orphans == [large] and not found.whole
    assert found.index == ["the bytes of 1 small objects or parts have no name", "no version of s3://bkt/third is the current one"]


def test_damaged_pages_of_the_index_are_named(filled, tmp_path):
    database = tmp_path / "s3.db"
    filled.index.db.read("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(database.read_bytes())
    page = int.from_bytes(data[16:18], "big")
    data[3 * page : 3 * page + 64] = b"\xff" * 64
    database.write_bytes(bytes(data))
    found = verify(filled, 0.0)
    assert not found.whole and found.index


def test_a_file_that_is_no_database_is_an_answer(tmp_path, capsys):
    InProcess(tmp_path).close()
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"s3.db{end}").unlink(missing_ok=True)
    (tmp_path / "s3.db").write_bytes(os.urandom(8192))
    assert doctor.run(argparse.Namespace(data=tmp_path, json=False, verify=True)) == exits.FAILED
    assert "cannot be opened" in capsys.readouterr().out


def test_a_folder_without_its_root_key_is_told_in_a_line(tmp_path, capsys):
    yard = InProcess(tmp_path)
    yard.platform.kms.encrypt("123456789012", "us-east-1", "alias/aws/s3", b"x", {})
    yard.close()
    (tmp_path / "secrets/root.key").unlink()
    assert doctor.run(argparse.Namespace(data=tmp_path, json=False, verify=True)) == exits.FAILED
    assert "root.key is missing" in capsys.readouterr().err
