"""Secrets in several regions: a replica says what its primary says, under a key of its own."""

from __future__ import annotations

import json

import pytest

from tests.services.secretsmanager.test_secrets import refused
from tests.support.platform import ACCOUNT

WEST, SOUTH = "eu-west-1", "ap-south-1"


@pytest.fixture
def west(yard):
    return yard.client("secretsmanager", region=WEST)


def status(sm, name="s"):
    return {one["Region"]: one["Status"] for one in sm.describe_secret(SecretId=name).get("ReplicationStatus", [])}


def test_a_replica_follows_its_primary(sm, west, yard):
    made = sm.create_secret(Name="s", SecretString="one", Description="d", AddReplicaRegions=[{"Region": WEST}])
    assert [one["Status"] for one in made["ReplicationStatus"]] == ["InProgress"]
    yard.settle()
    assert status(sm) == {WEST: "InSync"}
    found = west.get_secret_value(SecretId="s")
    assert (found["SecretString"], found["VersionId"]) == ("one", made["VersionId"])
    assert found["ARN"] == made["ARN"].replace("us-east-1", WEST)
    assert west.describe_secret(SecretId="s")["PrimaryRegion"] == "us-east-1" == sm.describe_secret(SecretId="s")["PrimaryRegion"]
    sm.put_secret_value(SecretId="s", SecretBinary=b"\0two")
    sm.tag_resource(SecretId="s", Tags=[{"Key": "k", "Value": "v"}])
    policy = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "secretsmanager:*", "Resource": "*"}
    sm.put_resource_policy(SecretId="s", ResourcePolicy=json.dumps({"Version": "2012-10-17", "Statement": [policy]}))
    assert status(sm) == {WEST: "InProgress"}
    yard.settle()
    assert west.get_secret_value(SecretId="s")["SecretBinary"] == b"\0two"
    assert west.get_secret_value(SecretId="s", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    assert west.describe_secret(SecretId="s")["Tags"] == [{"Key": "k", "Value": "v"}] and "ResourcePolicy" in west.get_resource_policy(
        SecretId="s"
    )
    assert west.describe_secret(SecretId="s")["Description"] == "d"
    sm.untag_resource(SecretId="s", TagKeys=["k"])
    yard.settle()
    assert "Tags" not in west.describe_secret(SecretId="s")
    rows = yard.platform.store.db.read("SELECT COUNT(*) FROM secret_values", ())
    assert rows[0][0] == 4, "two versions here, two there, and nothing left over"


def test_a_replica_is_changed_through_its_primary_only(sm, west, yard):
    sm.create_secret(Name="s", SecretString="one")
    sm.replicate_secret_to_regions(SecretId="s", AddReplicaRegions=[{"Region": WEST}])
    yard.settle()
    text = "Operation not permitted on a replica secret. Call must be made in primary secret's region."
    for call, more in (
        (west.put_secret_value, {"SecretString": "x"}), (west.update_secret, {"Description": "x"}), (west.delete_secret, {}), (west.rotate_secret, {}),
        (west.delete_secret, {"ForceDeleteWithoutRecovery": True}), (west.tag_resource, {"Tags": [{"Key": "a", "Value": "b"}]}),
        (west.replicate_secret_to_regions, {"AddReplicaRegions": [{"Region": SOUTH}]}), (west.delete_resource_policy, {}),
    ):  # fmt: skip
        refused("InvalidParameterException", call, text, SecretId="s", **more)
    refused("InvalidParameterException", sm.delete_secret, f"still has replica regions [{WEST}]", SecretId="s")
    refused(
        "InvalidParameterException",
        sm.replicate_secret_to_regions,
        "Invalid replica region.",
        SecretId="s",
        AddReplicaRegions=[{"Region": "us-east-1"}],
    )
    refused("InvalidParameterException", sm.stop_replication_to_replica, SecretId="s")
    assert sm.remove_regions_from_replication(SecretId="s", RemoveReplicaRegions=[WEST])["ReplicationStatus"] == []
    refused("ResourceNotFoundException", west.get_secret_value, SecretId="s")
    sm.delete_secret(SecretId="s", ForceDeleteWithoutRecovery=True)


def test_a_replica_becomes_a_secret_of_its_own(sm, west, yard):
    sm.create_secret(Name="s", SecretString="one", AddReplicaRegions=[{"Region": WEST}, {"Region": SOUTH}])
    yard.settle()
    west.stop_replication_to_replica(SecretId="s")
    west.put_secret_value(SecretId="s", SecretString="mine")
    sm.put_secret_value(SecretId="s", SecretString="theirs")
    yard.settle()
    assert west.get_secret_value(SecretId="s")["SecretString"] == "mine"
    assert status(sm) == {SOUTH: "InSync"} and "PrimaryRegion" not in west.describe_secret(SecretId="s")


def test_a_secret_that_is_there_is_overwritten_only_if_told(sm, west, yard):
    west.create_secret(Name="s", SecretString="other")
    sm.create_secret(Name="s", SecretString="one", AddReplicaRegions=[{"Region": WEST}])
    yard.settle()
    [told] = sm.describe_secret(SecretId="s")["ReplicationStatus"]
    assert (told["Status"], told["StatusMessage"]) == ("Failed", f"Replication failed: Secret name s already exists in region {WEST}.")
    assert west.get_secret_value(SecretId="s")["SecretString"] == "other"
    sm.replicate_secret_to_regions(SecretId="s", AddReplicaRegions=[{"Region": WEST}], ForceOverwriteReplicaSecret=True)
    yard.settle()
    assert status(sm) == {WEST: "InSync"} and west.get_secret_value(SecretId="s")["SecretString"] == "one"


def test_a_replicas_key(sm, west, yard):
    key = yard.client("kms", region=WEST).create_key()["KeyMetadata"]["Arn"]
    sm.create_secret(Name="s", SecretString="one", AddReplicaRegions=[{"Region": WEST, "KmsKeyId": "alias/none"}])
    yard.settle()
    [told] = sm.describe_secret(SecretId="s")["ReplicationStatus"]
    assert told["Status"] == "Failed" and "alias/none is not found" in told["StatusMessage"]
    sm.replicate_secret_to_regions(SecretId="s", AddReplicaRegions=[{"Region": WEST, "KmsKeyId": key}])
    yard.settle()
    assert status(sm) == {WEST: "InSync"}
    assert west.list_secret_version_ids(SecretId="s")["Versions"][0]["KmsKeyIds"] == [key]
    assert west.get_secret_value(SecretId="s")["SecretString"] == "one"


def test_another_key_encrypts_what_is_there_anew(sm, yard):
    kms = yard.client("kms")
    sm.create_secret(Name="s", SecretString="one")
    sm.put_secret_value(SecretId="s", SecretString="two")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    sm.update_secret(SecretId="s", KmsKeyId=key)
    assert [one["KmsKeyIds"] for one in sm.list_secret_version_ids(SecretId="s")["Versions"]] == [[key], [key]]
    assert sm.get_secret_value(SecretId="s", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    assert yard.platform.store.db.read("SELECT COUNT(*) FROM secret_values", ())[0][0] == 2
    kms.disable_key(KeyId=key)
    refused("DecryptionFailure", sm.get_secret_value, "is disabled", SecretId="s")
    refused("EncryptionFailure", sm.update_secret, "alias/none is not found", SecretId="s", KmsKeyId="alias/none")
