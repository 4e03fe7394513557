import json

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.services.s3.buckets import check_name
from tests.services.s3.yard import OTHER


@pytest.mark.parametrize("name", ["abc", "a.b-c", "123", "a" * 63, "my.bucket.name", "1.2.3"])
def test_good_names(name):
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "ab",
        "a" * 64,
        "Abc",
        "a_b",
        "-abc",
        "abc-",
        ".abc",
        "abc.",
        "a..b",
        "a.-b",
        "a-.b",
        "192.168.5.4",
        "xn--a",
        "a-s3alias",
        "sthree-x",
        "a b",
        "ü-abc",
    ],
)
def test_bad_names(name):
    with pytest.raises(ApiError) as found:
        check_name(name)
    assert (found.value.code, found.value.status) == ("InvalidBucketName", 400)


def test_life_of_a_bucket(s3, bucket, refused):
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    s3.create_bucket(Bucket=bucket)  # us-east-1, again by its owner: 200
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    error = refused(lambda: s3.delete_bucket(Bucket=bucket), "BucketNotEmpty", 409)
    assert error["BucketName"] == bucket
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    refused(lambda: s3.head_bucket(Bucket=bucket), "404", 404)
    assert refused(lambda: s3.list_objects_v2(Bucket=bucket), "NoSuchBucket", 404)["BucketName"] == bucket
    refused(lambda: s3.delete_bucket(Bucket=bucket), "NoSuchBucket", 404)


def test_an_account_without_buckets_has_an_empty_list(yard):
    assert yard.client(account=OTHER).list_buckets()["Buckets"] == []


def test_names_are_global_over_accounts(yard, bucket, refused):
    other = yard.client(account=OTHER)
    refused(lambda: other.create_bucket(Bucket=bucket), "BucketAlreadyExists", 409)
    refused(lambda: other.list_objects_v2(Bucket=bucket), "AccessDenied", 403)
    refused(lambda: other.put_object(Bucket=bucket, Key="k", Body=b""), "AccessDenied", 403)


def test_other_regions(yard, bucket, refused):
    west = yard.client(region="eu-west-1")
    name = bucket + "-w"
    refused(lambda: west.create_bucket(Bucket=name), "IllegalLocationConstraintException", 400)
    west.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    refused(
        lambda: west.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}),
        "BucketAlreadyOwnedByYou",
        409,
    )
    assert west.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    assert west.head_bucket(Bucket=name)["BucketRegion"] == "eu-west-1"


def test_what_clients_of_other_languages_say(yard, s3, bucket, refused):
    """s3cmd signs for the region US at first; the C++ SDK asks for checksums in lower case; rclone gives buckets ACLs of objects."""
    yard.client(region="US").create_bucket(Bucket=bucket + "-us")  # told the region, it asks again, as boto3 does
    assert s3.head_bucket(Bucket=bucket + "-us")["BucketRegion"] == "us-east-1"
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ChecksumAlgorithm="SHA256")
    assert s3.get_object(Bucket=bucket, Key="k", ChecksumMode="enabled")["ChecksumSHA256"]
    s3.create_bucket(Bucket=bucket + "-acl", ACL="bucket-owner-full-control")
    refused(lambda: s3.create_bucket(Bucket=bucket + "-bad", ACL="anybody"), "InvalidArgument", 400)


def test_an_object_changed_at_the_same_second_wherever_one_looks(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    head = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["LastModified"] == head
    assert s3.list_object_versions(Bucket=bucket)["Versions"][0]["LastModified"] == head


def test_expected_owner(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ExpectedBucketOwner="123456789012")
    refused(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x", ExpectedBucketOwner=OTHER), "AccessDenied", 403)
    refused(lambda: s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=OTHER), "403", 403)


def test_list_buckets_by_page_and_prefix(s3, bucket):
    names = [f"{bucket}-{n}" for n in range(5)]
    for name in names:
        s3.create_bucket(Bucket=name)
    pages = list(s3.get_paginator("list_buckets").paginate(Prefix=bucket + "-", PaginationConfig={"PageSize": 2}))
    assert [b["Name"] for page in pages for b in page["Buckets"]] == names
    assert len(pages) == 3


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("get_bucket_policy", "NoSuchBucketPolicy"),
        ("get_bucket_tagging", "NoSuchTagSet"),
        ("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("get_public_access_block", "NoSuchPublicAccessBlockConfiguration"),
        ("get_bucket_cors", "NoSuchCORSConfiguration"),
        ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
        ("get_bucket_website", "NoSuchWebsiteConfiguration"),
        ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
        ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
    ],
)
def test_what_a_bucket_has_not(s3, bucket, refused, operation, code):
    refused(lambda: getattr(s3, operation)(Bucket=bucket), code, 404)


def test_settings_come_back(s3, bucket, refused):
    tags = [{"Key": "team", "Value": "ml"}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    refused(lambda: s3.get_bucket_tagging(Bucket=bucket), "NoSuchTagSet", 404)
    rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})
    got = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert got["ApplyServerSideEncryptionByDefault"] == rules[0]["ApplyServerSideEncryptionByDefault"]
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    refused(lambda: s3.put_bucket_acl(Bucket=bucket, ACL="public-read"), "AccessControlListNotSupported", 400)


def statement(bucket, **more):
    return {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*", **more}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_policy_opens_a_bucket_to_everybody_and_block_closes_it(yard, s3, bucket, refused):
    import requests

    s3.put_object(Bucket=bucket, Key="k", Body=b"open")
    url = f"{yard.url()}/{bucket}/k"
    answer = requests.get(url, timeout=5)
    assert answer.status_code == 403 and "<Code>AccessDenied</Code>" in answer.text
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket)))
    assert requests.get(url, timeout=5).content == b"open"
    assert requests.put(url, data=b"x", timeout=5).status_code == 403
    assert requests.get(url + "-missing", timeout=5).status_code == 403  # who may not list learns no names
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"][0]["Principal"] == "*"
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicPolicy": True, "RestrictPublicBuckets": True})
    assert requests.get(url, timeout=5).status_code == 403
    refused(lambda: s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket))), "AccessDenied", 403)
    s3.delete_bucket_policy(Bucket=bucket)
    refused(lambda: s3.get_bucket_policy(Bucket=bucket), "NoSuchBucketPolicy", 404)


def test_policy_lets_another_account_in(yard, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"shared")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, Principal={"AWS": f"arn:aws:iam::{OTHER}:root"})))
    assert yard.client(account=OTHER).get_object(Bucket=bucket, Key="k")["Body"].read() == b"shared"


@pytest.mark.parametrize(
    "text",
    [
        "nothing", "[]", '{"Version":"2012-10-17"}', '{"Version":"2020-01-01","Statement":[]}',
        policy({"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::BUCKET"}),
        policy(statement("BUCKET", Effect="Maybe")),
        policy(statement("BUCKET", Action="ec2:Run")),
        policy(statement("another-bucket")),
        policy(statement("BUCKET", Resource="*")),
    ],
)  # fmt: skip
def test_malformed_policies(s3, bucket, refused, text):
    refused(lambda: s3.put_bucket_policy(Bucket=bucket, Policy=text.replace("BUCKET", bucket)), "MalformedPolicy", 400)
