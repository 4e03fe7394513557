"""Object lock: what nobody may delete before its time."""

import datetime
import uuid

import pytest

from modelyard.kernel.clock import ManualClock
from tests.services.s3.yard import Yard

DAY = 86_400.0


@pytest.fixture(scope="module")
def clocked(tmp_path_factory):
    clock = ManualClock()
    made = Yard(tmp_path_factory.mktemp("lock"), clock)
    yield made, clock
    made.close()


@pytest.fixture
def s3(clocked):
    return clocked[0].client()


@pytest.fixture
def vault(s3):
    name = f"lock-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def later(clock, days):
    return datetime.datetime.fromtimestamp(clock.now() + days * DAY, datetime.UTC)


def test_compliance_holds_until_its_time(s3, clocked, vault, refused):
    clock = clocked[1]
    version = s3.put_object(Bucket=vault, Key="k", Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=later(clock, 2))[
        "VersionId"
    ]
    one = {"Bucket": vault, "Key": "k", "VersionId": version}
    assert s3.head_object(**one)["ObjectLockMode"] == "COMPLIANCE"
    refused(lambda: s3.delete_object(**one), "AccessDenied", 403)
    refused(lambda: s3.delete_object(**one, BypassGovernanceRetention=True), "AccessDenied", 403)
    refused(
        lambda: s3.put_object_retention(**one, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": later(clock, 1)}), "AccessDenied", 403
    )
    s3.put_object_retention(**one, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": later(clock, 3)})
    assert s3.delete_object(Bucket=vault, Key="k")["DeleteMarker"]  # hiding it is no deletion
    errors = s3.delete_objects(Bucket=vault, Delete={"Objects": [{"Key": "k", "VersionId": version}]})["Errors"]
    assert [error["Code"] for error in errors] == ["AccessDenied"]
    clock.advance(4 * DAY)
    s3.delete_object(**one)
    refused(lambda: s3.get_object(**one), "NoSuchVersion", 404)


def test_governance_can_be_bypassed(s3, clocked, vault, refused):
    clock = clocked[1]
    s3.put_object_lock_configuration(
        Bucket=vault,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}},
    )
    version = s3.put_object(Bucket=vault, Key="k", Body=b"x")["VersionId"]
    one = {"Bucket": vault, "Key": "k", "VersionId": version}
    until = s3.get_object_retention(**one)["Retention"]["RetainUntilDate"]
    assert abs(until.timestamp() - clock.now() - 3 * DAY) < 60
    refused(lambda: s3.delete_object(**one), "AccessDenied", 403)
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": later(clock, 1)}
    refused(lambda: s3.put_object_retention(**one, Retention=shorter), "AccessDenied", 403)
    s3.put_object_retention(**one, Retention=shorter, BypassGovernanceRetention=True)
    s3.delete_object(**one, BypassGovernanceRetention=True)


def test_legal_hold(s3, vault, refused):
    version = s3.put_object(Bucket=vault, Key="k", Body=b"x", ObjectLockLegalHoldStatus="ON")["VersionId"]
    one = {"Bucket": vault, "Key": "k", "VersionId": version}
    assert s3.get_object_legal_hold(**one)["LegalHold"] == {"Status": "ON"}
    refused(lambda: s3.delete_object(**one, BypassGovernanceRetention=True), "AccessDenied", 403)
    refused(lambda: s3.get_object_retention(**one), "NoSuchObjectLockConfiguration", 404)
    s3.put_object_legal_hold(**one, LegalHold={"Status": "OFF"})
    s3.delete_object(**one)


def test_refusals(s3, clocked, vault, refused):
    clock, plain = clocked[1], f"plain-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=plain)
    s3.put_object(Bucket=plain, Key="k", Body=b"x")
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}}
    refused(lambda: s3.put_object_lock_configuration(Bucket=plain, ObjectLockConfiguration=rule), "InvalidBucketState", 409)
    refused(lambda: s3.get_object_lock_configuration(Bucket=plain), "ObjectLockConfigurationNotFoundError", 404)
    refused(lambda: s3.put_object_legal_hold(Bucket=plain, Key="k", LegalHold={"Status": "ON"}), "InvalidRequest", 400)
    refused(lambda: s3.put_bucket_versioning(Bucket=vault, VersioningConfiguration={"Status": "Suspended"}), "InvalidBucketState", 409)
    both = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3, "Years": 1}}}
    refused(lambda: s3.put_object_lock_configuration(Bucket=vault, ObjectLockConfiguration=both), "MalformedXML", 400)
    none = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 0}}}
    refused(lambda: s3.put_object_lock_configuration(Bucket=vault, ObjectLockConfiguration=none), "InvalidRetentionPeriod", 400)
    past = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": later(clock, -1)}
    refused(lambda: s3.put_object(Bucket=vault, Key="k", Body=b"x", **past), "InvalidArgument", 400)
    refused(lambda: s3.put_object(Bucket=vault, Key="k", Body=b"x", ObjectLockMode="GOVERNANCE"), "InvalidArgument", 400)
