import pytest


@pytest.fixture
def versioned(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def put(s3, bucket, body, key="k"):
    return s3.put_object(Bucket=bucket, Key=key, Body=body).get("VersionId")


def body(s3, bucket, **more):
    return s3.get_object(Bucket=bucket, Key="k", **more)["Body"].read()


def test_status(s3, bucket, refused):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert put(s3, bucket, b"0") is None
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status
    refused(lambda: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={}), "IllegalVersioningConfigurationException", 400)


def test_versions_and_delete_markers(s3, versioned, refused):
    one, two = put(s3, versioned, b"1"), put(s3, versioned, b"2" * 50_000)
    assert len({one, two, "null"}) == 3
    assert (body(s3, versioned), body(s3, versioned, VersionId=one)) == (b"2" * 50_000, b"1")
    gone = s3.delete_object(Bucket=versioned, Key="k")
    assert gone["DeleteMarker"] is True
    refused(lambda: body(s3, versioned), "NoSuchKey", 404)
    refused(lambda: body(s3, versioned, VersionId=gone["VersionId"]), "MethodNotAllowed", 405)
    refused(lambda: body(s3, versioned, VersionId="never-was"), "InvalidArgument", 400)
    assert "Contents" not in s3.list_objects_v2(Bucket=versioned)
    assert body(s3, versioned, VersionId=two) == b"2" * 50_000
    back = s3.delete_object(Bucket=versioned, Key="k", VersionId=gone["VersionId"])
    assert back["DeleteMarker"] is True
    assert body(s3, versioned) == b"2" * 50_000
    s3.delete_object(Bucket=versioned, Key="k", VersionId=two)
    assert body(s3, versioned) == b"1"
    assert s3.head_object(Bucket=versioned, Key="k")["VersionId"] == one
    refused(lambda: s3.delete_bucket(Bucket=versioned), "BucketNotEmpty", 409)


def test_null_versions(s3, bucket):
    put(s3, bucket, b"before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    real = put(s3, bucket, b"real")
    assert body(s3, bucket, VersionId="null") == b"before"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert put(s3, bucket, b"after") is None  # the name `null` is not told
    assert (body(s3, bucket), body(s3, bucket, VersionId="null"), body(s3, bucket, VersionId=real)) == (b"after", b"after", b"real")
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert (marker["DeleteMarker"], marker["VersionId"]) == (True, "null")
    listed = s3.list_object_versions(Bucket=bucket)
    assert [one["VersionId"] for one in listed["Versions"]] == [real]
    assert [one["VersionId"] for one in listed["DeleteMarkers"]] == ["null"]
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert body(s3, bucket) == b"real"


def test_delete_many_versions(yard, s3, versioned):
    one = put(s3, versioned, b"1")
    made = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "k"}]})["Deleted"][0]
    assert made["DeleteMarker"] is True and made["DeleteMarkerVersionId"]
    gone = s3.delete_objects(
        Bucket=versioned, Delete={"Objects": [{"Key": "k", "VersionId": one}, {"Key": "k", "VersionId": made["DeleteMarkerVersionId"]}]}
    )
    assert [item["VersionId"] for item in gone["Deleted"]] == [one, made["DeleteMarkerVersionId"]]
    assert gone["Deleted"][1]["DeleteMarker"] is True
    yard.resource().Bucket(versioned).object_versions.delete()
    s3.delete_bucket(Bucket=versioned)


def test_copy_of_a_version_and_tags_of_a_version(s3, versioned):
    one = put(s3, versioned, b"1")
    two = put(s3, versioned, b"2")
    made = s3.copy_object(Bucket=versioned, Key="k", CopySource={"Bucket": versioned, "Key": "k", "VersionId": one})
    assert made["CopySourceVersionId"] == one and body(s3, versioned) == b"1"
    s3.put_object_tagging(Bucket=versioned, Key="k", VersionId=two, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_object_tagging(Bucket=versioned, Key="k")["TagSet"] == []
    assert s3.get_object_tagging(Bucket=versioned, Key="k", VersionId=two)["TagSet"] == [{"Key": "a", "Value": "b"}]
