"""Access control lists: whom they let in, and the settings that turn them off."""

import json
import uuid

import pytest
from botocore import UNSIGNED

from tests.services.s3.yard import ACCOUNT, OTHER

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.fixture
def other(yard):
    return yard.client(account=OTHER)


@pytest.fixture
def nobody(yard):
    return yard.client(signature_version=UNSIGNED)


@pytest.fixture
def shared(s3):
    """A bucket with ACLs."""
    name = f"acl-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    return name


def identity(client):
    return client.list_buckets()["Owner"]["ID"]


def read(client, bucket, key="k"):
    return client.get_object(Bucket=bucket, Key=key)["Body"].read()


def test_buckets_have_no_acls_unless_asked_for(s3, bucket, refused):
    for call in (
        lambda: s3.put_bucket_acl(Bucket=bucket, ACL="private"),
        lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="public-read"),
        lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="private"),
        lambda: s3.create_multipart_upload(Bucket=bucket, Key="k", GrantRead=f'uri="{ALL_USERS}"'),
    ):
        refused(call, "AccessControlListNotSupported", 400)
    s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="bucket-owner-full-control")
    refused(lambda: s3.create_bucket(Bucket=f"{bucket}-x", ACL="public-read"), "InvalidBucketAclWithObjectOwnership", 400)


def test_public_read(s3, nobody, shared, refused):
    s3.put_object(Bucket=shared, Key="k", Body=b"open", ACL="public-read")
    s3.put_object(Bucket=shared, Key="own", Body=b"closed")
    assert read(nobody, shared) == b"open"
    refused(lambda: read(nobody, shared, "own"), "AccessDenied", 403)
    refused(lambda: nobody.list_objects_v2(Bucket=shared), "AccessDenied", 403)
    refused(lambda: read(nobody, shared, "missing"), "AccessDenied", 403)
    s3.put_bucket_acl(Bucket=shared, ACL="public-read")
    assert [one["Key"] for one in nobody.list_objects_v2(Bucket=shared)["Contents"]] == ["k", "own"]
    refused(lambda: read(nobody, shared, "missing"), "NoSuchKey", 404)
    refused(lambda: nobody.put_object(Bucket=shared, Key="k", Body=b"mine"), "AccessDenied", 403)


def test_authenticated_read_is_not_public(s3, other, nobody, shared, refused):
    s3.put_object(Bucket=shared, Key="k", Body=b"x", ACL="authenticated-read")
    assert read(other, shared) == b"x"
    refused(lambda: read(nobody, shared), "AccessDenied", 403)


def test_who_writes_owns(s3, other, shared, refused):
    s3.put_bucket_acl(Bucket=shared, ACL="public-read-write")
    other.put_object(Bucket=shared, Key="k", Body=b"theirs")
    refused(lambda: read(s3, shared), "AccessDenied", 403)  # not even the bucket's owner
    assert other.get_object_acl(Bucket=shared, Key="k")["Owner"]["ID"] == identity(other)
    other.put_object_acl(Bucket=shared, Key="k", ACL="bucket-owner-read")
    assert read(s3, shared) == b"theirs"
    refused(lambda: s3.get_object_acl(Bucket=shared, Key="k"), "AccessDenied", 403)
    everybody = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject*", "Resource": f"arn:aws:s3:::{shared}/*"}]}  # fmt: skip
    s3.put_bucket_policy(Bucket=shared, Policy=json.dumps(everybody))
    refused(lambda: s3.get_object_acl(Bucket=shared, Key="k"), "AccessDenied", 403)  # the policy grants nothing on what is another's
    s3.put_bucket_ownership_controls(Bucket=shared, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]})
    other.put_object(Bucket=shared, Key="k", Body=b"handed over", ACL="bucket-owner-full-control")
    assert s3.get_object_acl(Bucket=shared, Key="k")["Owner"]["ID"] == identity(s3)


def test_enforcing_ownership_turns_acls_off(s3, other, nobody, shared, refused):
    s3.put_object(Bucket=shared, Key="k", Body=b"x", ACL="public-read")
    s3.put_bucket_acl(Bucket=shared, ACL="public-read-write")
    other.put_object(Bucket=shared, Key="theirs", Body=b"x")
    enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    wish = lambda: s3.put_bucket_ownership_controls(Bucket=shared, OwnershipControls=enforced)  # noqa: E731
    refused(wish, "InvalidBucketAclWithObjectOwnership", 400)
    s3.put_bucket_acl(Bucket=shared, ACL="private")
    wish()
    refused(lambda: read(nobody, shared), "AccessDenied", 403)
    assert read(s3, shared, "theirs") == b"x"


def test_grants_by_header_and_document(s3, other, shared, refused):
    mine, theirs = identity(s3), identity(other)
    s3.put_object(Bucket=shared, Key="k", Body=b"x", GrantRead=f'id="{theirs}"', GrantReadACP=f'id="{theirs}", uri="{ALL_USERS}"')
    assert read(other, shared) == b"x"
    told = other.get_object_acl(Bucket=shared, Key="k")
    assert sorted((g["Permission"], g["Grantee"]["Type"]) for g in told["Grants"]) == [
        ("READ", "CanonicalUser"), ("READ_ACP", "CanonicalUser"), ("READ_ACP", "Group"),
    ]  # fmt: skip

    def put(permission="READ", owner=mine, grantee=theirs):
        grants = [{"Grantee": {"Type": "CanonicalUser", "ID": grantee}, "Permission": permission}]
        s3.put_object_acl(Bucket=shared, Key="k", AccessControlPolicy={"Owner": {"ID": owner}, "Grants": grants})

    put("WRITE_ACP")
    refused(lambda: read(other, shared), "AccessDenied", 403)
    other.put_object_acl(Bucket=shared, Key="k", ACL="public-read")
    assert read(other, shared) == b"x"
    refused(lambda: put(owner=theirs), "AccessDenied", 403)
    refused(lambda: put(grantee="f" * 64), "InvalidArgument", 400)
    refused(lambda: s3.put_object(Bucket=shared, Key="k", ACL="private", GrantRead=f'id="{theirs}"'), "InvalidRequest", 400)
    refused(lambda: s3.put_object(Bucket=shared, Key="k", GrantRead='emailAddress="a@example.com"'), "MethodNotAllowed", 405)


@pytest.mark.parametrize("block", ["BlockPublicAcls", "IgnorePublicAcls"])
def test_public_access_block(s3, nobody, shared, refused, block):
    s3.put_object(Bucket=shared, Key="k", Body=b"x", ACL="public-read")
    s3.put_public_access_block(Bucket=shared, PublicAccessBlockConfiguration={block: True})
    if block == "BlockPublicAcls":
        refused(lambda: s3.put_object_acl(Bucket=shared, Key="k", ACL="public-read"), "AccessDenied", 403)
        refused(lambda: s3.put_bucket_acl(Bucket=shared, ACL="public-read"), "AccessDenied", 403)
        assert read(nobody, shared) == b"x"
    else:
        refused(lambda: read(nobody, shared), "AccessDenied", 403)


def test_owner_of_each_listed_object(s3, other, shared):
    s3.put_bucket_acl(Bucket=shared, ACL="public-read-write")
    s3.put_object(Bucket=shared, Key="a", Body=b"")
    other.put_object(Bucket=shared, Key="b", Body=b"")
    listed = s3.list_objects_v2(Bucket=shared, FetchOwner=True)["Contents"]
    assert [one["Owner"]["DisplayName"] for one in listed] == [ACCOUNT, OTHER]


def test_a_copy_reads_the_very_version(s3, other, shared, refused):
    """Reading the newest version is no leave to copy an older one."""
    s3.put_bucket_versioning(Bucket=shared, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=shared, Key="k", Body=b"closed")["VersionId"]
    new = s3.put_object(Bucket=shared, Key="k", Body=b"open", ACL="public-read")["VersionId"]
    target = f"acl-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=target, ObjectOwnership="ObjectWriter")
    s3.put_bucket_acl(Bucket=target, ACL="public-read-write")
    source = {"Bucket": shared, "Key": "k"}
    other.copy_object(Bucket=target, Key="c", CopySource={**source, "VersionId": new})
    refused(lambda: other.copy_object(Bucket=target, Key="c", CopySource={**source, "VersionId": old}), "AccessDenied", 403)
    s3.put_object_acl(Bucket=shared, Key="k", ACL="private")
    s3.put_object_acl(Bucket=shared, Key="k", VersionId=old, ACL="public-read")
    other.copy_object(Bucket=target, Key="c", CopySource={**source, "VersionId": old})
    refused(lambda: other.copy_object(Bucket=target, Key="c", CopySource={**source, "VersionId": new}), "AccessDenied", 403)


def test_policies_may_name_canonical_users(s3, other, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    statement = {
        "Effect": "Allow",
        "Principal": {"CanonicalUser": identity(other)},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    assert read(other, bucket) == b"x"
    statement["Principal"]["CanonicalUser"] = "f" * 64
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    refused(lambda: read(other, bucket), "AccessDenied", 403)
