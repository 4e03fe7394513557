"""Multi-Region keys: one id and one material in several regions, everything else a region's own."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.services.kms.test_keys import DAY, _wrapped, refused

EAST, WEST, SOUTH = "us-east-1", "eu-west-1", "ap-south-1"


@pytest.fixture
def west(yard):
    return yard.client("kms", region=WEST)


def family(kms, *regions, **more):
    key = kms.create_key(MultiRegion=True, **more)["KeyMetadata"]["KeyId"]
    for region in regions:
        kms.replicate_key(KeyId=key, ReplicaRegion=region)
    return key


def described(client, key):
    return client.describe_key(KeyId=key)["KeyMetadata"]


def test_what_one_region_encrypts_another_decrypts(kms, west):
    made = kms.create_key(MultiRegion=True, Description="d")["KeyMetadata"]
    key = made["KeyId"]
    assert key.startswith("mrk-") and len(key) == 36 and made["MultiRegion"] is True
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    refused("AccessDeniedException", west.decrypt, "does not exist in this region", CiphertextBlob=blob, EncryptionContext={"a": "b"})
    replica = kms.replicate_key(KeyId=key, ReplicaRegion=WEST, Tags=[{"TagKey": "k", "TagValue": "v"}])
    arn = made["Arn"].replace(EAST, WEST)
    assert replica["ReplicaKeyMetadata"]["Arn"] == arn and replica["ReplicaTags"] == [{"TagKey": "k", "TagValue": "v"}]
    assert json.loads(replica["ReplicaPolicy"])["Id"] == "key-default-1"
    told = {"PrimaryKey": {"Arn": made["Arn"], "Region": EAST}, "ReplicaKeys": [{"Arn": arn, "Region": WEST}]}
    assert described(kms, key)["MultiRegionConfiguration"] == {"MultiRegionKeyType": "PRIMARY", **told}
    assert described(west, key)["MultiRegionConfiguration"] == {"MultiRegionKeyType": "REPLICA", **told}
    assert west.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"}, KeyId=arn)["KeyId"] == arn
    refused("InvalidCiphertextException", west.decrypt, CiphertextBlob=blob)
    back = west.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=back["CiphertextBlob"])["Plaintext"] == back["Plaintext"]
    assert kms.decrypt(CiphertextBlob=back["CiphertextBlob"])["KeyId"] == made["Arn"]
    assert (
        described(west, key)["Description"] == ""
        and west.list_resource_tags(KeyId=key)["Tags"]
        and not kms.list_resource_tags(KeyId=key)["Tags"]
    )
    refused("AlreadyExistsException", kms.replicate_key, KeyId=key, ReplicaRegion=WEST)
    refused(
        "UnsupportedOperationException", west.replicate_key, f"{arn} is not a multi-region primary key.", KeyId=key, ReplicaRegion=SOUTH
    )
    single = kms.create_key()["KeyMetadata"]["KeyId"]
    refused("UnsupportedOperationException", kms.replicate_key, "is not a multi-region primary key.", KeyId=single, ReplicaRegion=WEST)
    refused("ValidationException", kms.replicate_key, KeyId=key, ReplicaRegion="mars-north-1")
    assert [one["KeyId"] for one in west.list_keys()["Keys"]] == [key]


def test_states_policies_aliases_and_grants_are_a_regions_own(kms, west):
    key = family(kms, WEST)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    assert west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    west.create_alias(AliasName="alias/there", TargetKeyId=key)
    refused("NotFoundException", kms.describe_key, KeyId="alias/there")
    grant = west.create_grant(KeyId=key, GranteePrincipal="arn:aws:iam::123456789012:root", Operations=["Decrypt"])
    assert kms.list_grants(KeyId=key)["Grants"] == [] and west.list_grants(KeyId=key)["Grants"][0]["GrantId"] == grant["GrantId"]
    refused("DisabledException", kms.replicate_key, KeyId=key, ReplicaRegion=SOUTH)


def test_rotation_is_the_primarys_and_reaches_all(kms, west, yard):
    key = family(kms, WEST)
    old = west.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    refused("UnsupportedOperationException", west.enable_key_rotation, KeyId=key)
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    assert west.get_key_rotation_status(KeyId=key)["RotationPeriodInDays"] == 90
    yard.settle()
    first = described(west, key)["CurrentKeyMaterialId"]
    yard.platform.clock.advance(90 * DAY)
    yard.settle()
    kms.rotate_key_on_demand(KeyId=key)
    yard.settle()
    kinds = [one["RotationType"] for one in west.list_key_rotations(KeyId=key)["Rotations"]]
    assert kinds == ["AUTOMATIC", "ON_DEMAND"] == [one["RotationType"] for one in kms.list_key_rotations(KeyId=key)["Rotations"]]
    assert described(west, key)["CurrentKeyMaterialId"] == described(kms, key)["CurrentKeyMaterialId"] != first
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    new = kms.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    assert west.decrypt(CiphertextBlob=new)["Plaintext"] == b"new"
    kms.disable_key(KeyId=key)
    yard.platform.clock.advance(90 * DAY)
    yard.settle()
    assert len(west.list_key_rotations(KeyId=key)["Rotations"]) == 2
    kms.enable_key(KeyId=key)
    yard.settle()
    assert len(west.list_key_rotations(KeyId=key)["Rotations"]) == 3


def test_another_region_becomes_the_primary(kms, west, yard):
    key = family(kms, WEST)
    refused("NotFoundException", kms.update_primary_region, KeyId=key, PrimaryRegion=SOUTH)
    refused("UnsupportedOperationException", west.update_primary_region, KeyId=key, PrimaryRegion=EAST)
    kms.update_primary_region(KeyId=key, PrimaryRegion=WEST)
    assert described(west, key)["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"
    assert described(kms, key)["MultiRegionConfiguration"]["PrimaryKey"]["Region"] == WEST
    west.enable_key_rotation(KeyId=key)
    refused("UnsupportedOperationException", kms.replicate_key, KeyId=key, ReplicaRegion=SOUTH)
    west.replicate_key(KeyId=key, ReplicaRegion=SOUTH)
    assert [one["Region"] for one in described(kms, key)["MultiRegionConfiguration"]["ReplicaKeys"]] == [SOUTH, EAST]


def test_a_primary_is_deleted_after_its_replicas(kms, west, yard):
    key = family(kms, WEST)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    told = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert told["KeyState"] == "PendingReplicaDeletion" and "DeletionDate" not in told
    assert described(kms, key)["PendingDeletionWindowInDays"] == 7
    refused("KMSInvalidStateException", kms.encrypt, "is pending replica deletion.", KeyId=key, Plaintext=b"x")
    assert west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    yard.settle()
    yard.platform.clock.advance(40 * DAY)
    yard.settle()
    assert described(kms, key)["KeyState"] == "PendingReplicaDeletion"
    west.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    yard.settle()
    yard.platform.clock.advance(7 * DAY)
    yard.settle()
    refused("NotFoundException", west.describe_key, KeyId=key)
    assert described(kms, key)["KeyState"] == "PendingDeletion"
    yard.platform.clock.advance(7 * DAY)
    yard.settle()
    refused("NotFoundException", kms.describe_key, KeyId=key)
    assert yard.platform.store.list("kms-key-family") == []


def test_deletion_of_a_primary_is_taken_back(kms, west):
    key = family(kms, WEST)
    kms.schedule_key_deletion(KeyId=key)
    kms.cancel_key_deletion(KeyId=key)
    assert described(kms, key)["KeyState"] == "Disabled"


def test_asymmetric_and_hmac_keys_have_the_same_material_everywhere(kms, west):
    key = family(kms, WEST, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    signed = west.sign(KeyId=key, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")["Signature"]
    assert kms.verify(KeyId=key, Message=b"m", SigningAlgorithm="ECDSA_SHA_256", Signature=signed)["SignatureValid"]
    public = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert west.get_public_key(KeyId=key)["PublicKey"] == kms.get_public_key(KeyId=key)["PublicKey"]
    key = family(kms, WEST, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    mac = kms.generate_mac(KeyId=key, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert west.verify_mac(KeyId=key, Message=b"m", MacAlgorithm="HMAC_SHA_256", Mac=mac)["MacValid"]


def test_imported_material_goes_into_each_region(kms, west, yard):
    key = family(kms, Origin="EXTERNAL")
    forever, wrap = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}, "RSAES_OAEP_SHA_256"
    refused("KMSInvalidStateException", kms.replicate_key, "is pending import.", KeyId=key, ReplicaRegion=WEST)
    first = kms.import_key_material(KeyId=key, **forever, **_wrapped(kms, key, wrap, b"1" * 32))["KeyMaterialId"]
    kms.replicate_key(KeyId=key, ReplicaRegion=WEST)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert described(west, key)["KeyState"] == "PendingImport"
    refused("IncorrectKeyMaterialException", west.import_key_material, KeyId=key, **forever, **_wrapped(west, key, wrap, b"2" * 32))
    assert west.import_key_material(KeyId=key, **forever, **_wrapped(west, key, wrap, b"1" * 32))["KeyMaterialId"] == first
    assert west.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    kms.import_key_material(KeyId=key, ImportType="NEW_KEY_MATERIAL", **forever, **_wrapped(kms, key, wrap, b"2" * 32))
    states = [one["KeyMaterialState"] for one in kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]]
    assert states == ["CURRENT", "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"]
    refused("KMSInvalidStateException", kms.rotate_key_on_demand, "No available key material pending rotation", KeyId=key)
    west.import_key_material(KeyId=key, ImportType="EXISTING_KEY_MATERIAL", **forever, **_wrapped(west, key, wrap, b"2" * 32))
    kms.rotate_key_on_demand(KeyId=key)
    new = west.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=new)["KeyMaterialId"] != first
    assert west.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == first
    west.delete_imported_key_material(KeyId=key, KeyMaterialId=first)
    assert (described(west, key)["KeyState"], described(kms, key)["KeyState"]) == ("PendingImport", "Enabled")


def test_conditions_on_regions(kms, west, yard):
    iam = yard.client("iam")
    iam.create_user(UserName="u")
    statement = [{"Effect": "Allow", "Action": "kms:*", "Resource": "*", "Condition": {"StringEqualsIfExists": {"kms:ReplicaRegion": WEST}}},
                 {"Effect": "Deny", "Action": "kms:Encrypt", "Resource": "*", "Condition": {"StringEquals": {"kms:MultiRegionKeyType": "REPLICA"}}}]  # fmt: skip
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    made = iam.create_access_key(UserName="u")["AccessKey"]
    from tests.support import inproc

    def as_user(region):
        return inproc.client(yard.gateway, "kms", key=made["AccessKeyId"], secret=made["SecretAccessKey"], region=region)

    key = family(as_user(EAST), WEST)
    with pytest.raises(ClientError, match="AccessDenied"):
        as_user(EAST).replicate_key(KeyId=key, ReplicaRegion=SOUTH)
    as_user(EAST).encrypt(KeyId=key, Plaintext=b"x")
    with pytest.raises(ClientError, match="AccessDenied"):
        as_user(WEST).encrypt(KeyId=key, Plaintext=b"x")
